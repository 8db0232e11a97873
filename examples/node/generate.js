// node examples/node/generate.js [PACKAGE [PROMPT]]: text as it is generated.
import { load } from 'pith';

const [source = 'models/story', prompt = 'Once upon a time'] = process.argv.slice(2);
const model = await load(source);
process.stdout.write(prompt);
for await (const piece of model.generate(prompt, { maxTokens: 100, temperature: 0.8, topP: 0.95, seed: 1 })) process.stdout.write(piece);
process.stdout.write('\n');
await model.close();
