/** How fast packages of one model run beside the first of them, one thread, as a sweep times them: node recipe_times.js REFERENCE PACKAGE … prints js/timing.js's figures by package. */
import { openForTiming, timeModels } from '../../js/timing.js';

const [reference, ...packages] = process.argv.slice(2), base = await openForTiming(reference);
/** @type {Record<string, import('../../js/timing.js').Timing>} */
const timings = {};
for (const path of packages) {
  const model = await openForTiming(path);
  timings[path] = await timeModels(model, base);
  await model.close();
}
await base.close();
console.log(JSON.stringify(timings));
