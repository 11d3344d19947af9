/**
 * internvl: the InternVL models for JavaScript in Node. The README has a tour, docs/architecture.md the structure.
 *
 * Models are loaded by `loadEmbedder`, pictures by `loadForModel`; `ImageIndex` searches folders, `ZeroShotClassifier`
 * classifies with one's own labels, `train` runs recipes. What is disposable is released by `await using`.
 */
export type { HostTensor } from "./core/array.ts";
export {
  CheckpointError,
  ConfigError,
  InternVLError,
  isUserError,
  MediaError,
  RuntimeFailure,
  ShapeError,
  UsageError,
} from "./core/errors.ts";
export type { Precision } from "./core/precisions.ts";
export { readManifest, writeManifest } from "./data/manifest.node.ts";
export type { ManifestItem, ManifestLine } from "./data/manifest.ts";
export { evaluateClassification } from "./eval/classification.ts";
export { heldOutRecall } from "./eval/held-out.node.ts";
export { type ParityOutput, runParity } from "./eval/parity.node.ts";
export { CONCEPT_PROTOCOL, evaluateRetrieval, PUBLISHED_PROTOCOL } from "./eval/retrieval.ts";
export { ZeroShotClassifier } from "./eval/zero-shot-classifier.ts";
export type { Embedder } from "./infer/embedder.ts";
export { type LoadOptions, loadEmbedder } from "./infer/load-model.node.ts";
export { NANO } from "./infer/nano.node.ts";
export { ImageIndex } from "./search/image-index.ts";
export type { SearchQuery, SearchResult, UpdateOptions } from "./search/types.ts";
export { openLibrary } from "./server/library.ts";
export { type RunningServer, serve } from "./server/serve.ts";
export { openTokenizer } from "./text/tokenizer.node.ts";
export { type TrainEvent, type TrainOptions, type TrainSummary, train } from "./train/train.node.ts";
export type { Framing, RgbImage } from "./vision/image.ts";
export { loadForModel } from "./vision/preprocess.node.ts";
export type { Checkpoint } from "./weights/checkpoint.ts";
export { type OpenedCheckpoint, openCheckpoint } from "./weights/open-checkpoint.node.ts";
export { writeSafetensors } from "./weights/write-safetensors.node.ts";
