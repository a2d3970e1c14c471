// Which pictures of this page are nearest to one, by the cosine of their embeddings.
import { cosine, embeddingNumbers } from "../../parts/output/embedding.js";
import { taskOf } from "../../parts/output.js";
import { to } from "../../lib/router.js";

const MOST = 5;

/** Return `[{name, similarity, href, src}]`, nearest first, of the same version's embeddings; null for another task. */
export function neighboursOf(picture, all) {
  const { prediction } = picture;
  if (taskOf(prediction?.output) !== "embedding") return null;
  const own = embeddingNumbers(prediction.output);
  const comparable = all.filter(
    (other) =>
      other.id !== picture.id &&
      other.prediction?.model === prediction.model &&
      other.prediction.version === prediction.version &&
      other.prediction.output?.dimensions === prediction.output.dimensions,
  );
  return comparable
    .map(({ name, thumbnail, prediction: { id, output } }) => ({
      name,
      similarity: cosine(own, embeddingNumbers(output)),
      href: to("predictions", [id]),
      src: thumbnail?.url ?? null,
    }))
    .sort((one, other) => other.similarity - one.similarity)
    .slice(0, MOST);
}
