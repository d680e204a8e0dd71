/** Whether a number stays finite as float32, in which tables are stored and computed. Not so for infinities and NaN. */
export const fitsFloat32 = (value: number): boolean => Number.isFinite(Math.fround(value))
