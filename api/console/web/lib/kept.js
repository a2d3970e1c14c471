// What the browser keeps for the console: the key for the tab, the colours for good. Where a browser keeps nothing, because
// cookies are blocked or its space is full, a value lasts as long as the page.

/** `storage()`: returns a Storage, or throws where it is blocked. Returns the value by `name` that reads, keeps, forgets. */
export function kept(storage, name) {
  let own = null;
  const attempt = (act) => {
    try {
      return act(storage());
    } catch {
      return null;
    }
  };
  return {
    read: () => own ?? attempt((where) => where.getItem(name)),
    keep(value) {
      own = value;
      attempt((where) => where.setItem(name, value));
    },
    forget() {
      own = null;
      attempt((where) => where.removeItem(name));
    },
  };
}
