/** Versions of PostgreSQL that lack fixes known to this build, and what their operators should do. */
import { describeMissingFixes } from '../../src/database/minor-versions';

test.each([
  [150_019, '15.20'],
  [160_000, '16.16'],
  [170_011, '17.12'],
  [180_004, '18.7'],
])('version %i is told to move to %s', (version, newest) => {
  const text = describeMissingFixes(version, { isEmbedded: false });
  expect(text).toContain(`up to ${newest}: install that minor version or a later one`);
});

test.each([150_020, 160_016, 170_012, 180_007, 180_008])(
  'version %i has all fixes that this build knows',
  (version) => {
    for (const isEmbedded of [true, false]) expect(describeMissingFixes(version, { isEmbedded })).toBeNull();
  },
);

test('a major version that is newer than this build is not judged', () => {
  expect(describeMissingFixes(190_000, { isEmbedded: false })).toBeNull();
});

test('the embedded server is said to be for development instead of being told to move', () => {
  const text = describeMissingFixes(180_004, { isEmbedded: true });
  expect(text).toContain('it is for development, on 127.0.0.1 with a random password');
  expect(text).not.toContain('install');
});
