// The clients under test and what they share. The addresses come from tests/conformance/test_node.py.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

export const { BASE_URL, FAULTS_URL, KEYED_URL } = process.env;
export const ROUTES = ["openai", "anthropic", "gemini"];
export const CALLS_ONE = { openai: "openai", anthropic: "anthropic-tools", gemini: "gemini" };
export const CALLS_TWO = { openai: "openai", anthropic: "anthropic-parallel_tools", gemini: "gemini-parallel" };

export const openai = (baseURL = `${BASE_URL}/v1`, options = {}) =>
  new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 10_000, ...options });
export const claude = (baseURL = BASE_URL, options = {}) =>
  new Anthropic({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 10_000, ...options });

export const HELLO = [{ role: "user", content: "Hello there, dear friend of mine" }];
export const ASK_WEATHER = [{ role: "user", content: "Please get weather for Oslo" }];
export const ASK_BOTH = [{ role: "user", content: "Please get weather and get time for Oslo" }];
export const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const WEATHER = {
  name: "get_weather",
  description: "Current weather in a place.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, unit: { type: "string", enum: ["c", "f"] } },
    required: ["city", "unit"],
    additionalProperties: false,
  },
};
export const TIME = {
  name: "get_time",
  description: "Current time in a zone.",
  parameters: { type: "object", properties: { zone: { type: "string" } }, required: ["zone"], additionalProperties: false },
};
export const functionTool = (definition) => ({ type: "function", function: definition });
export const claudeTool = ({ name, description, parameters }) => ({ name, description, input_schema: parameters });

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
