/** The texts of the benchmark, written for it. All systems get the same ones. */

const WORDS = 'river stone garden winter letter music window table '.repeat(70).trim().split(' ');

/** English of exactly n tokens for a BERT vocabulary: n - 2 common words, each one token, between [CLS] and [SEP]. @param {number} n */
export const ofTokens = (n) => WORDS.slice(0, n - 2).join(' ');

/** As a page would search through: five to twenty tokens each. */
export const SHORT = [
  'The ferry leaves at seven in the morning.',
  'How do I reset my password?',
  'A small dog sleeps under the kitchen table.',
  'Fresh bread smells best before sunrise.',
  'Our train was late because of snow on the line.',
  'Which plants grow well without much light?',
  'She painted the fence green last summer.',
  'The recipe needs two eggs, some flour and a pinch of salt.',
  'Please send the invoice to the new address.',
  'Children were playing football in the rain.',
  'The library closes early on Fridays.',
  'An old clock ticks in the hall.',
  'What is the fastest way to the station?',
  'He fixed the bicycle with a piece of wire.',
  'The meeting was moved to next Tuesday afternoon.',
  'Birds gather on the roof when the wind turns.',
  'My phone does not charge any more.',
  'They walked along the river until it was dark.',
  'A storm is expected over the northern coast.',
  'The museum shows maps from four centuries.',
  'Can I return a gift without the receipt?',
  'The teacher read a story about a clever fox.',
  'Coffee grows on hills near the equator.',
  'Two sailors repaired the torn sail.',
  'The price of apples has doubled since spring.',
  'Nobody had seen the key since yesterday.',
  'Light travels faster than sound.',
  'The baker gave the last loaf to a stranger.',
  'I would like to change my seat on the flight.',
  'Snow covered the tracks before we reached the hut.',
  'The orchestra practised the slow movement again.',
  'Where can I find the opening hours?',
];

const STORY = `there was a village between two hills where the road from the coast met the road from the mountains. Every autumn the traders came
with salt, cloth and iron, and the villagers gave them wool, honey and dried apples. In one of the last houses lived a girl called Mara, who
kept the bridge. She knew the sound of every cart and the name of every horse, and she wrote down in a thick grey book who had passed, in which
direction and on what day. Her grandmother had begun the book, and nobody remembered why. One evening, when the leaves were already falling, a man
came to the bridge who carried nothing at all. He asked for no bread and no bed, only whether he might read what stood in the book about a winter long ago.
Mara lit the lamp, because it was getting dark, and turned the pages back to the time before she was born. The man read slowly, with one finger under the
line, and when he had come to the end of the page he closed his eyes for a while. Then he told her that his father had crossed the bridge in that winter, going
north, and that no one had ever written down that he came back. Mara looked at the columns again. The ink was brown and thin, but the letters were clear. There
had been eleven carts that week, four riders, a woman with geese, and a man alone on foot. She followed his name through the months, as she had learned to do it
with lost goods, and found it once more, late in spring, written by another hand. He had returned after all, but in the night, and he had paid for two. The stranger
asked who the second one was. Mara did not know, yet she knew where to look, for her grandmother had kept a smaller book as well, for those who wished not to be
seen. It lay under the third stair, wrapped in oiled cloth. They took it to the lamp together and opened it with care, since its pages had become as brittle as leaves.`.replace(/\s+/g, ' ');

// Each as long as the other in SmolLM2's vocabulary, so that no cache of a prompt helps and all have the same length.
const OPENINGS = ['Once', 'Here', 'Then', 'Now', 'Yet', 'Long', 'When', 'Far'];

/** Words that make a prompt of so many tokens of SmolLM2's; the report shows what every system counted. */
const WORDS_FOR = { 8: 8, 130: 115, 400: 347, 800: 695 };

/** @param {8 | 130 | 400 | 800} n tokens @param {number} variant */
export function prompt(n, variant) {
  const words = `${STORY} Many years went by, and then it happened again. Once more ${STORY} After that`.split(' ');
  return [OPENINGS[variant % OPENINGS.length], ...words.slice(0, WORDS_FOR[n] - 1)].join(' ');
}
