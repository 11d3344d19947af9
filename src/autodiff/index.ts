export { checkpoint } from "./checkpoint.ts";
export { grad } from "./grad.ts";
