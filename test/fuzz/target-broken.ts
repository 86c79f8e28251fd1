// A target that fails for some inputs, to see that the fuzzer tells.

import type { Target } from './target.ts';

export const brokenTarget: Target = {
  name: 'broken',
  seeds: async () => [Buffer.from('abcd')],
  run: (input) => {
    if (input.length > 0 && input[0] !== 0x61) throw new Error('it broke');
    return `length ${input.length}`;
  },
};
