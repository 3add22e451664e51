// OpenAI's client for Node beyond chat, and Anthropic's.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ASK_WEATHER, BASE_URL, HELLO, KEYED_URL, ROUTES, WEATHER, all, claude, claudeTool, openai } from "./routes.mjs";

const client = openai();

for (const model of ["openai", "gemini"]) {
  describe(`embeddings on ${model}`, () => {
    test("both encodings hold the same numbers", async () => {
      const plain = await client.embeddings.create({ model, input: "Hello", encoding_format: "float" });
      const packed = await client.embeddings.create({ model, input: "Hello" });
      assert.equal(packed.data[0].embedding.length, plain.data[0].embedding.length);
      packed.data[0].embedding.forEach((part, at) => assert.ok(Math.abs(part - plain.data[0].embedding[at]) < 1e-5));
    });

    test("dimensions and lists", async () => {
      const answer = await client.embeddings.create({ model, input: ["a", "b", "c"], dimensions: 8 });
      assert.deepEqual(
        answer.data.map((one) => [one.index, one.embedding.length]),
        [
          [0, 8],
          [1, 8],
          [2, 8],
        ],
      );
    });
  });
}

test("models are listed and shown", async () => {
  const names = (await all(client.models.list())).map((model) => model.id);
  for (const route of ROUTES) assert.ok(names.includes(route));
  assert.equal((await client.models.retrieve("openai")).id, "openai");
});

test("an unknown model is not found", async () => {
  await assert.rejects(client.models.retrieve("unknown"), OpenAI.NotFoundError);
});

test("moderations and text completions", async () => {
  assert.equal((await client.moderations.create({ model: "openai", input: "kind words" })).results[0].flagged, false);
  assert.ok((await client.completions.create({ model: "openai", prompt: "Once", max_tokens: 5 })).choices[0].text);
});

for (const suffix of ["", "/", "/v1", "/v1/"]) {
  test(`base URL ending in "${suffix}"`, async () => {
    assert.ok((await openai(BASE_URL + suffix).chat.completions.create({ model: "openai", messages: HELLO })).choices[0].message.content);
  });
}

const Person = z.object({ name: z.string(), age: z.number().int() });

for (const route of ROUTES) {
  describe(`responses on ${route}`, () => {
    test("a whole answer", async () => {
      const answer = await client.responses.create({ model: route, input: "Hello", instructions: "Be brief." });
      assert.equal(answer.status, "completed");
      assert.ok(answer.output_text);
      assert.equal(answer.usage.greenlane.model, route);
    });

    test("a stream", async () => {
      const events = await all(await client.responses.create({ model: route, input: "Hello", stream: true }));
      assert.equal(events[0].type, "response.created");
      assert.equal(events.at(-1).type, "response.completed");
      const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
      assert.equal(said.join(""), events.at(-1).response.output[0].content[0].text);
    });

    test("the helper accumulates", async () => {
      const stream = client.responses.stream({ model: route, input: "Hello" });
      assert.ok((await stream.finalResponse()).output_text);
    });

    test("a tool there and back", async () => {
      const tools = [{ type: "function", strict: true, ...WEATHER }];
      const input = [{ role: "user", content: "Please get weather for Oslo" }];
      const answer = await client.responses.create({ model: route, input, tools, tool_choice: "required" });
      const call = answer.output.find((item) => item.type === "function_call");
      assert.equal(call.name, "get_weather");
      const output = { type: "function_call_output", call_id: call.call_id, output: "rain" };
      assert.ok((await client.responses.create({ model: route, input: [...input, ...answer.output, output], tools })).output_text);
    });

    test("parse gives the object", async () => {
      const answer = await client.responses.parse({ model: route, input: "Hello", text: { format: zodTextFormat(Person, "person") } });
      assert.ok(Person.safeParse(answer.output_parsed).success);
    });
  });

  describe(`messages on ${route}`, () => {
    const anthropic = claude();
    const asked = { model: route, max_tokens: 500, messages: HELLO };

    test("a whole answer", async () => {
      const { data, response } = await anthropic.messages.create(asked).withResponse();
      assert.equal(data.stop_reason, "end_turn");
      assert.ok(data.content[0].text);
      assert.equal(response.headers.get("x-greenlane-model"), route);
    });

    test("the helper accumulates a stream", async () => {
      const whole = await anthropic.messages.create(asked);
      const final = await anthropic.messages.stream(asked).finalMessage();
      assert.equal(final.content[0].text, whole.content[0].text);
      assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
    });

    test("a tool there and back", async () => {
      const tools = [claudeTool(WEATHER)];
      const members = { ...asked, messages: ASK_WEATHER, tools };
      const answer = await anthropic.messages.stream({ ...members, tool_choice: { type: "any" } }).finalMessage();
      const call = answer.content.find((block) => block.type === "tool_use");
      assert.ok("city" in call.input);
      const content = [{ type: "tool_result", tool_use_id: call.id, content: "rain" }];
      const messages = [...ASK_WEATHER, { role: "assistant", content: answer.content }, { role: "user", content }];
      assert.equal((await anthropic.messages.create({ ...members, messages })).stop_reason, "end_turn");
    });
  });
}

test("errors of the messages API", async () => {
  const anthropic = claude();
  const asked = (model) => anthropic.messages.create({ model, max_tokens: 10, messages: HELLO });
  await assert.rejects(asked("nobody"), Anthropic.NotFoundError);
  await assert.rejects(asked("anthropic-invalid"), Anthropic.BadRequestError);
  await assert.rejects(asked("anthropic-rate_limited"), Anthropic.RateLimitError);
  await assert.rejects(asked("gemini-internal"), Anthropic.InternalServerError);
  await assert.rejects(claude(KEYED_URL, { apiKey: "wrong" }).messages.create({ model: "echo", max_tokens: 10, messages: HELLO }), Anthropic.AuthenticationError);
});

test("a bearer token is a key of the messages API", async () => {
  const known = claude(KEYED_URL, { apiKey: null, authToken: "search-key-0123456789" });
  assert.ok((await known.messages.create({ model: "echo", max_tokens: 10, messages: HELLO })).content[0].text);
});
