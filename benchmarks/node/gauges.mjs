// What the process measures of itself, as agent/gauges.py does.
import { readFileSync } from "node:fs";

export function cpuSeconds() {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
}

export function memory() {
  global.gc();
  const status = readFileSync("/proc/self/status", "ascii");
  return Number(/^VmRSS:\s*(\d+)/m.exec(status)[1]) * 1024;
}
