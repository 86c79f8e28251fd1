// Child process of the power cut campaign, because a store that opens wrongly can end its process.
//
// Arguments: CutCheckOptions as JSON. Prints one CutResult as a line of JSON for each cut, in order.

import { checkCuts, type CutCheckOptions } from './cut-check.ts';

await checkCuts(JSON.parse(process.argv[2] ?? '') as CutCheckOptions, (result) => {
  process.stdout.write(`${JSON.stringify(result)}\n`);
});
