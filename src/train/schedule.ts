/** Factor on the peak learning rate at step `step` (from 0): linear warm-up, then half a cosine to 0. */
export function cosineWithWarmup(step: number, warmupSteps: number, totalSteps: number): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
}
