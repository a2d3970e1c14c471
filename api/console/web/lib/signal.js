// A value that components follow: `const connection = signal("up")`, `useSignal(connection)`.
import { useEffect, useState } from "./preact.js";

export function signal(value) {
  const followers = new Set();
  return {
    get value() {
      return value;
    },
    set value(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const follower of [...followers]) follower(value);
    },
    /** Call `follower` with each new value; returns the function that ends it. */
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

/** Return a signal's value; the component is drawn anew when it changes. */
export function useSignal(followed) {
  const [value, setValue] = useState(followed.value);
  useEffect(() => {
    setValue(followed.value);
    return followed.follow(setValue);
  }, [followed]);
  return value;
}
