// openai from npm; in: calls as lines of JSON; out: a line of JSON for each: answer, chunks, or error. PACKAGES names the folder it lies in.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.PACKAGES}/`);
const OpenAI = require("openai").default;
const { version } = JSON.parse(require("node:fs").readFileSync(`${process.env.PACKAGES}/node_modules/openai/package.json`, "utf8"));

async function call(client, name, ask) {
  if (name === "models.list") {
    const data = [];
    for await (const model of client.models.list()) data.push(model);
    return { data };
  }
  if (name === "models.retrieve") return client.models.retrieve(ask.model);
  return { chat: client.chat.completions, completions: client.completions, embeddings: client.embeddings }[name].create(ask);
}

async function outcome(row) {
  const client = new OpenAI({ baseURL: row.base_url, apiKey: row.key, maxRetries: 0, timeout: row.timeout_s * 1000 });
  try {
    const given = await call(client, row.call, row.ask);
    if (!row.ask.stream) return { answer: given };
    const chunks = [];
    for await (const chunk of given) {
      chunks.push(chunk);
      if (chunks.length === row.leave_after) break; // ends the request
    }
    return { chunks };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return {
      error: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      message: error.message,
      retry_after: error.headers?.get?.("retry-after") ?? null,
    };
  }
}

console.log(JSON.stringify({ version }));
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await outcome(JSON.parse(line))));
