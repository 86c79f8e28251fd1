// Which names can be looked up.

const NAME_BYTES_MAX = 255;

/** Whether the kernel can ask for it. */
export function isName(name: Buffer): boolean {
  if (name.length < 1 || name.length > NAME_BYTES_MAX) return false;
  if (name.includes(0) || name.includes('/')) return false;
  const text = name.toString('latin1');
  return text !== '.' && text !== '..';
}
