// guest.js in a Node.js process: {id, method, args} in, {id, value} or {id, error} out.
import * as guest from './guest.js';

process.on('message', async ({ id, method, args }) => {
  try {
    process.send({ id, value: await guest[method](...args) ?? null });
  } catch (error) {
    process.send({ id, error: String(error?.message ?? error) });
  }
});
process.on('disconnect', () => process.exit());
