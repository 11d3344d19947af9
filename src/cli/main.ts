#!/usr/bin/env node
import { runProcess } from "./process.ts";
import { defaultServices } from "./services.ts";

await runProcess(defaultServices);
