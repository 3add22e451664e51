// What OpenAI's client for Node raises where an upstream fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { BASE_URL, FAULTS_URL, HELLO, KEYED_URL, all, openai } from "./routes.mjs";

const client = openai(`${FAULTS_URL}/v1`);
const create = (model, members = {}, options = {}) => client.chat.completions.create({ model, messages: HELLO, ...members }, options);

const CLASSES = {
  400: [400, OpenAI.BadRequestError],
  401: [502, OpenAI.InternalServerError],
  403: [502, OpenAI.InternalServerError],
  404: [404, OpenAI.NotFoundError],
  409: [409, OpenAI.ConflictError],
  422: [422, OpenAI.UnprocessableEntityError],
  429: [429, OpenAI.RateLimitError],
  500: [502, OpenAI.InternalServerError],
  503: [502, OpenAI.InternalServerError],
};

async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

for (const [status, [told, kind]] of Object.entries(CLASSES)) {
  for (const stream of [false, true]) {
    test(`${status} from upstream is ${kind.name}${stream ? " for a stream" : ""}`, async () => {
      const error = await caught(create(`status-${status}`, { stream }));
      assert.ok(error instanceof kind, error.constructor.name);
      assert.equal(error.status, told);
      assert.ok(error.error.message);
      assert.ok(error.headers.get("x-greenlane-id"));
      assert.ok(error.requestID);
    });
  }
}

test("an unknown model is not found", async () => {
  const error = await caught(create("no-such-model"));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
  assert.equal(error.param, "model");
});

test("a constraint that nobody meets is unprocessable", async () => {
  const error = await caught(create("echo", { greenlane: { max_g: 0 } }));
  assert.ok(error instanceof OpenAI.UnprocessableEntityError);
  assert.equal(error.code, "no_eligible_deployment");
});

test("no such key", async () => {
  const error = await caught(openai(`${KEYED_URL}/v1`, { apiKey: "wrong" }).chat.completions.create({ model: "echo", messages: HELLO }));
  assert.ok(error instanceof OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
});

test("a known key", async () => {
  const known = openai(`${KEYED_URL}/v1`, { apiKey: "search-key-0123456789" });
  assert.ok((await known.chat.completions.create({ model: "echo", messages: HELLO })).choices[0].message.content);
});

test("a rate limit tells when to come back", async () => {
  assert.equal((await caught(create("status-429"))).headers.get("retry-after"), "3");
});

test("the client's own retry gets through", async () => {
  assert.equal((await create("once-429", {}, { maxRetries: 2 })).choices[0].message.content, "Hello!");
});

for (const model of ["broken", "error-midstream", "no-end"]) {
  test(`a stream that breaks throws after what was said: ${model}`, async () => {
    let said = "";
    const error = await caught(
      (async () => {
        for await (const chunk of await create(model, { stream: true })) said += chunk.choices[0].delta.content ?? "";
      })(),
    );
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(said, "Hello");
  });
}

test("the helper throws where a stream breaks", async () => {
  const runner = client.chat.completions.stream({ model: "broken", messages: HELLO });
  assert.ok((await caught(runner.finalChatCompletion())) instanceof OpenAI.OpenAIError);
});

test("a stream without an end marker is whole", async () => {
  const chunks = await all(await create("no-done", { stream: true }));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("silence is a timeout of the upstream's", async () => {
  const error = await caught(create("hang"));
  assert.equal(error.status, 504);
  assert.equal(error.code, "upstream_timeout");
});

test("the client's own timeout", async () => {
  assert.ok((await caught(create("slow", {}, { timeout: 100 }))) instanceof OpenAI.APIConnectionTimeoutError);
});

test("an abort of the client's", async () => {
  const control = new AbortController();
  setTimeout(() => control.abort(), 50);
  assert.ok((await caught(create("slow", {}, { signal: control.signal }))) instanceof OpenAI.APIUserAbortError);
});

test("nothing listening", async () => {
  const error = await caught(openai("http://127.0.0.1:9/v1").models.list());
  assert.ok(error instanceof OpenAI.APIConnectionError);
});

test("a member that the vendor cannot express is refused by name", async () => {
  const error = await caught(openai(`${BASE_URL}/v1`).chat.completions.create({ model: "anthropic", messages: HELLO, n: 2 }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "n");
});
