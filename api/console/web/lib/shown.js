// Text and links as the page shows them, whoever wrote them: labels, file names, metadata, errors come from anybody.

// Characters that are not seen and change what is: controls (but tab and line end), changes of direction, spaces without
// width, soft hyphens, tags. Joiners are letters' own in other scripts and in emoji: beside ASCII alone they hide.
const UNSEEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|(?:^|(?<=[\0-\x7f]))[\u200c\u200d]|[\u200c\u200d](?=[\0-\x7f]|$)|(?<!\u{1f3f4}[\u{e0020}-\u{e007f}]*)[\u{e0000}-\u{e007f}]/gu;

const PLAIN = /^[\x20-\x7e\n\t]*$/;

/** Return a text in which what would not be seen is written out: `\u202e`, as JSON has it. */
export function shown(text) {
  return PLAIN.test(text) ? text : text.replace(UNSEEN, (letter) => `\\u${letter.codePointAt(0).toString(16).padStart(4, "0")}`);
}

const FOLLOWED = new Set(["http:", "https:", "blob:"]);

/** Return an address that a link may lead to, as it was given; null where a click would do something else, as `javascript:`. */
export function followed(address) {
  try {
    return FOLLOWED.has(new URL(address, document.baseURI).protocol) ? address : null;
  } catch {
    return null;
  }
}
