// What one can do about a prediction that failed, by its error code, beside the API's own words.
const WHAT_TO_DO = {
  undecodable_image: "The file is damaged, cut off, or takes too long to decode: save it again, or send it in another format.",
  model_error: "The model raised this for this picture: the workers’ logs have it in full, under the ids on the prediction’s page. Or ask another version.",
  model_unavailable: "No worker serves this version now: see its page under Models for why it can’t be loaded, and Now for the workers.",
  worker_lost: "The worker ended each time that it computed this picture, mostly for want of memory: send a smaller one, or see Now.",
  deadline_exceeded: "It had not started within its Cancel-After: see Now for what is in the queue, and send it again.",
};

/** Return a sentence, or null for a code that has none. */
export const whatToDo = (code) => WHAT_TO_DO[code] ?? null;
