// OpenAI's client for Azure, given the proxy's address as its endpoint.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI, { AzureOpenAI } from "openai";
import { BASE_URL, HELLO, KEYED_URL, all } from "./routes.mjs";

const azure = (options = {}) =>
  new AzureOpenAI({ endpoint: BASE_URL, apiKey: "unused", apiVersion: "2024-10-21", maxRetries: 0, timeout: 10_000, ...options });

for (const options of [{}, { deployment: "openai" }]) {
  describe(`Azure's client with ${JSON.stringify(options)}`, () => {
    const client = azure(options);

    test("a whole answer", async () => {
      const { data, response } = await client.chat.completions.create({ model: "openai", messages: HELLO }).withResponse();
      assert.ok(data.choices[0].message.content);
      assert.equal(response.headers.get("x-greenlane-model"), "openai");
    });

    test("a stream", async () => {
      const chunks = await all(await client.chat.completions.create({ model: "openai", messages: HELLO, stream: true }));
      assert.ok(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""));
    });

    test("embeddings, text, responses and models", async () => {
      assert.equal((await client.embeddings.create({ model: "openai", input: "Hello", dimensions: 8 })).data[0].embedding.length, 8);
      assert.ok((await client.completions.create({ model: "openai", prompt: "Once", max_tokens: 5 })).choices[0].text);
      assert.ok((await client.responses.create({ model: "openai", input: "Hello" })).output_text);
      assert.equal((await client.models.retrieve("openai")).id, "openai");
    });
  });
}

test("the deployment wins over the model", async () => {
  const client = azure({ deployment: "anthropic" });
  const { response } = await client.chat.completions.create({ model: "gpt-4o", messages: HELLO }).withResponse();
  assert.equal(response.headers.get("x-greenlane-model"), "anthropic");
});

test("keys of Azure's client, and tokens of Entra", async () => {
  const model = "echo";
  for (const good of [{ apiKey: "search-key-0123456789" }, { apiKey: undefined, azureADTokenProvider: async () => "search-key-0123456789" }]) {
    assert.ok((await azure({ endpoint: KEYED_URL, ...good }).chat.completions.create({ model, messages: HELLO })).choices.length);
  }
  await assert.rejects(azure({ endpoint: KEYED_URL, apiKey: "wrong" }).chat.completions.create({ model, messages: HELLO }), OpenAI.AuthenticationError);
});
