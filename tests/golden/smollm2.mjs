// Writes tests/golden/smollm2.json with llama.cpp: ids of many texts by the GGUF file of SmolLM2-135M-Instruct, and greedy continuations by the same
// weights in fp32 (tests/golden/smollm2.py). Run it outside of the repository, where npm has installed node-llama-cpp and @node-llama-cpp/linux-x64:
//     node smollm2.mjs MODEL.gguf MODEL-F32.gguf …/tests/golden/smollm2.json
import { writeFileSync } from 'node:fs';
import { getLlama } from 'node-llama-cpp';

const [, , quantised, floats, out] = process.argv, nGreedy = 64;
const texts = ['Hello', 'Hello world', ' Hello  world ', '1234567890 and 3.14', "don't can't DON'T I'm we've", 'naïve café 東京 한국어', '🙂🚀👩‍👩‍👧 emoji',
  'tabs\tand\nnewlines\n\n  indented', 'def f(x):\n    return x**2 + 1\n', '<|im_start|>user\nHi<|im_end|>\n', '   ', 'x', '½ ² ٣ １２', 'http://example.com/a?b=c&d=1',
  '«guillemets» — dash … “quotes”', 'ﬁ ligature e\u0301 combining', 'a'.repeat(24), '==========--------', '\u00a0nbsp\u3000ideographic', 'mixed123abc456',
  'The quick brown fox jumps over the lazy dog.', '\u200bzero\ufeff', 'Ünïcödé ß ĳ ǆ', '12:30, 5% of $1,000.00'];
const prompts = ['Once upon a time', '<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n', 'The quick brown fox', 'def fibonacci(n):\n'];

const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logLevel: 'error' });
const tokenizer = await llama.loadModel({ modelPath: quantised }), model = await llama.loadModel({ modelPath: floats });
const context = await model.createContext({ contextSize: 256, threads: 1, flashAttention: false });
const golden = { texts: texts.map((text) => ({ text, ids: [...tokenizer.tokenize(text, true)] })), prompts: [] };
for (const prompt of prompts) {
  const sequence = context.getSequence(), greedy = [];
  for await (const token of sequence.evaluate([...model.tokenize(prompt, true)], { temperature: 0 })) {
    if (model.isEogToken(token) || greedy.push(token) === nGreedy) break;
  }
  golden.prompts.push({ prompt, greedy, text: model.detokenize(greedy, false) });
  await sequence.dispose();
}
writeFileSync(out, `${JSON.stringify(golden)}\n`);
process.exit(0);
