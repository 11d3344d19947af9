/** Where models compute: the CPU, or a GPU through WebGPU (Vulkan, Metal or Direct3D beneath). */
export const DEVICES = ["cpu", "webgpu"] as const;
export type Device = (typeof DEVICES)[number];
