/** What `npm run prove -- --sabotage` needs, without running it: every edit of the sources moves what a mistake replaces. */
import { readFileSync } from 'node:fs';
import { projectPath } from '../../src/config';
import { RACE_NAMES } from './certain';
import { SABOTAGES } from './sabotage';

test.each(SABOTAGES)('the sources can be sabotaged: $name', ({ edits, noticedBy }) => {
  for (const { file, find } of edits) {
    expect({ file, find, times: readFileSync(projectPath(file), 'utf8').split(find).length - 1 }).toMatchObject({
      times: 1,
    });
  }
  expect(RACE_NAMES).toEqual(expect.arrayContaining([...noticedBy]));
  expect(noticedBy).not.toHaveLength(0);
});
