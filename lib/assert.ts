// Assertions catch programmer errors: a failed one is a bug in dedupfs, never a user's mistake.

/** @throws Error when `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** The value, which must be there. @throws Error when it is undefined. */
export function expectDefined<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`assertion failed: ${what} is undefined`);
  return value;
}
