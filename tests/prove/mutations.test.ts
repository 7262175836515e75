/** Checks, without running it, that `npm run prove -- --sabotage` can apply every mutation to the sources. */
import { readFileSync } from 'node:fs';
import { projectPath } from '../../src/config';
import { RACE_NAMES } from './deterministic-races';
import { MUTATIONS } from './mutations';

test.each(MUTATIONS)('the mutation can be applied to the sources: $name', ({ edits, noticedBy }) => {
  for (const { file, find } of edits) {
    expect({ file, find, times: readFileSync(projectPath(file), 'utf8').split(find).length - 1 }).toMatchObject({
      times: 1,
    });
  }
  expect(RACE_NAMES).toEqual(expect.arrayContaining([...noticedBy]));
  expect(noticedBy).not.toHaveLength(0);
});
