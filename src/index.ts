/**
 * internvl: the InternVL models for JavaScript in Node. The README has a tour, docs/architecture.md the structure.
 *
 * Models that embed are loaded by `loadEmbedder`, models that answer by `loadChatModel`; `downloadModel` gives the folder
 * of a model on the Hugging Face hub. `loadForModel` and `loadPicture` read pictures, `openVideo` videos. `ImageIndex`
 * searches folders, `ZeroShotClassifier` classifies with one's own labels, `train` runs recipes. What is disposable is
 * released by `await using`.
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
export { type DownloadOptions, type DownloadProgress, downloadModel } from "./hub/download-model.node.ts";
export type {
  ChatChunk,
  ChatMessages,
  ChatModel,
  ChatOptions,
  ChatPicture,
  ChatUsage,
  FinishReason,
  TokenDetail,
} from "./infer/chat-model.ts";
export type { Embedder } from "./infer/embedder.ts";
export { type LoadChatOptions, loadChatModel } from "./infer/load-chat-model.node.ts";
export { type LoadOptions, loadEmbedder } from "./infer/load-model.node.ts";
export { NANO, NANO_CHAT } from "./infer/nano.node.ts";
export { type QuantizeOptions, type QuantizeSummary, quantizeModel } from "./infer/quantize-model.node.ts";
export { ImageIndex } from "./search/image-index.ts";
export type { SearchQuery, SearchResult, UpdateOptions } from "./search/types.ts";
export { openLibrary } from "./server/library.ts";
export { type RunningServer, serve } from "./server/serve.ts";
export type { ChatMessage, ContentPart } from "./text/conversation.ts";
export { type Box, type GroundedPart, parseGrounding } from "./text/grounding.ts";
export { openTokenizer } from "./text/tokenizer.node.ts";
export { type TrainEvent, type TrainOptions, type TrainSummary, train } from "./train/train.node.ts";
export { drawBoxes } from "./vision/draw-boxes.node.ts";
export { segmentFrames } from "./vision/frame-sampling.ts";
export type { Framing, RgbImage } from "./vision/image.ts";
export { loadPicture } from "./vision/load-picture.node.ts";
export { loadForModel } from "./vision/preprocess.node.ts";
export { openVideo } from "./vision/video.node.ts";
export type { Checkpoint } from "./weights/checkpoint.ts";
export { type OpenedCheckpoint, openCheckpoint } from "./weights/open-checkpoint.node.ts";
export { writeSafetensors } from "./weights/write-safetensors.node.ts";
