// OpenAI's client for Node: chat completions, streamed and whole, on every route.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ASK_BOTH, ASK_WEATHER, CALLS_ONE, CALLS_TWO, HELLO, PIXEL, ROUTES, TIME, WEATHER, all, functionTool, openai } from "./routes.mjs";

const client = openai();
const Person = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()), nickname: z.string().nullable() });

for (const route of ROUTES) {
  describe(`chat completions on ${route}`, () => {
    const create = (members = {}) => client.chat.completions.create({ model: route, messages: HELLO, ...members });

    test("a whole answer has its shape and account", async () => {
      const answer = await create();
      assert.equal(answer.object, "chat.completion");
      assert.equal(answer.choices.length, 1);
      assert.equal(answer.choices[0].message.role, "assistant");
      assert.equal(answer.choices[0].finish_reason, "stop");
      assert.ok(answer.choices[0].message.content);
      assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
      assert.equal(answer.usage.greenlane.model, route);
      assert.ok(Math.abs(answer.created - Date.now() / 1000) < 60);
    });

    test("withResponse gives the headers", async () => {
      const { data, response, request_id } = await create().withResponse();
      assert.ok(data.choices[0].message.content);
      assert.equal(response.headers.get("x-greenlane-model"), route);
      assert.match(response.headers.get("x-carbon-g"), /^\d+(\.\d+)?$/);
      assert.equal(request_id, response.headers.get("x-request-id"));
    });

    test("a stream says what a whole answer says", async () => {
      const whole = (await create()).choices[0].message.content;
      const chunks = await all(await create({ stream: true }));
      assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""), whole);
      assert.equal(chunks[0].choices[0].delta.role, "assistant");
      assert.deepEqual(chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).filter(Boolean), ["stop"]);
      assert.ok(chunks.every((chunk) => !chunk.usage));
    });

    test("usage that was asked for comes last", async () => {
      const chunks = await all(await create({ stream: true, stream_options: { include_usage: true } }));
      const last = chunks.at(-1);
      assert.deepEqual(last.choices, []);
      assert.ok(last.usage.total_tokens > 0);
      assert.ok(last.usage.greenlane.carbon_g > 0);
      assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
    });

    test("the headers of a stream come before its end", async () => {
      const { data, response } = await create({ stream: true }).withResponse();
      assert.match(response.headers.get("content-type"), /^text\/event-stream/);
      assert.ok(response.headers.get("x-carbon-forecast-g"));
      assert.ok((await all(data)).length > 1);
    });

    test("the helper accumulates a completion", async () => {
      const runner = client.chat.completions.stream({ model: route, messages: HELLO });
      let said = "";
      runner.on("content", (delta) => (said += delta));
      const final = await runner.finalChatCompletion();
      assert.equal(final.choices[0].message.content, said);
      assert.equal(final.choices[0].finish_reason, "stop");
    });

    test("a stream can be handed on and read again", async () => {
      const stream = (await create({ stream: true })).toReadableStream();
      const { ChatCompletionStream } = await import("openai/lib/ChatCompletionStream");
      assert.ok(await ChatCompletionStream.fromReadableStream(stream).finalContent());
    });

    test("a stream can be split in two", async () => {
      const [one, other] = (await create({ stream: true })).tee();
      assert.equal((await all(one)).length, (await all(other)).length);
    });

    test("max_tokens cuts", async () => {
      assert.equal((await create({ max_tokens: 3 })).choices[0].finish_reason, "length");
      assert.equal((await create({ max_completion_tokens: 3 })).choices[0].finish_reason, "length");
    });

    test("an image is taken", async () => {
      const content = [
        { type: "text", text: "Look" },
        { type: "image_url", image_url: { url: PIXEL } },
      ];
      assert.ok((await create({ messages: [{ role: "user", content }] })).choices[0].message.content);
    });

    for (const choice of ["required", { type: "function", function: { name: "get_weather" } }]) {
      test(`a tool is called: ${typeof choice === "string" ? choice : "named"}`, async () => {
        const answer = await create({ messages: ASK_WEATHER, tools: [functionTool(WEATHER)], tool_choice: choice });
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(answer.choices[0].finish_reason, "tool_calls");
        assert.equal(call.function.name, "get_weather");
        assert.ok("city" in JSON.parse(call.function.arguments));
      });
    }

    test("a tool is called by choice", async () => {
      const answer = await create({ model: CALLS_ONE[route], messages: ASK_WEATHER, tools: [functionTool(WEATHER)] });
      assert.equal(answer.choices[0].message.tool_calls[0].function.name, "get_weather");
    });

    test("two tools are called in a stream", async () => {
      const runner = client.chat.completions.stream({
        model: CALLS_TWO[route],
        messages: ASK_BOTH,
        tools: [functionTool(WEATHER), functionTool(TIME)],
      });
      const { tool_calls } = (await runner.finalChatCompletion()).choices[0].message;
      assert.deepEqual(
        tool_calls.map((call) => call.function.name),
        ["get_weather", "get_time"],
      );
      assert.equal(new Set(tool_calls.map((call) => call.id)).size, 2);
      for (const call of tool_calls) JSON.parse(call.function.arguments);
    });

    test("a result goes back", async () => {
      const tools = [functionTool(WEATHER)];
      const first = await create({ messages: ASK_WEATHER, tools, tool_choice: "required" });
      const message = first.choices[0].message;
      const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "rain" }));
      const after = await create({ messages: [...ASK_WEATHER, message, ...results], tools });
      assert.equal(after.choices[0].finish_reason, "stop");
    });

    for (const stream of [false, true]) {
      test(`runTools runs to the answer${stream ? " in streams" : ""}`, async () => {
        const seen = [];
        const runner = client.chat.completions.runTools({
          model: CALLS_ONE[route] === route ? route : `${route}-tools`,
          messages: ASK_WEATHER,
          stream,
          tools: [
            {
              type: "function",
              function: {
                ...WEATHER,
                function: (given) => {
                  seen.push(given);
                  runner.abort();
                  return "rain";
                },
                parse: JSON.parse,
              },
            },
          ],
        });
        await runner.done().catch(() => {});
        assert.equal(seen.length, 1);
        assert.ok("city" in seen[0]);
      });
    }

    test("parse gives the object", async () => {
      const answer = await client.chat.completions.parse({ model: route, messages: HELLO, response_format: zodResponseFormat(Person, "person") });
      assert.ok(Person.safeParse(answer.choices[0].message.parsed).success);
    });

    test("parse gives the arguments of a tool", async () => {
      const tools = [zodFunction({ name: "get_weather", parameters: z.object({ city: z.string() }) })];
      const answer = await client.chat.completions.parse({ model: route, messages: ASK_WEATHER, tools, tool_choice: "required" });
      assert.equal(typeof answer.choices[0].message.tool_calls[0].function.parsed_arguments.city, "string");
    });

    test("a wish and its headers", async () => {
      const { response } = await create({ greenlane: { policy: "green" } }).withResponse();
      assert.equal(response.headers.get("x-greenlane-policy"), "green");
      const headers = { "x-greenlane-policy": "green", "x-request-id": "node-1" };
      const other = await client.chat.completions.create({ model: route, messages: HELLO }, { headers }).withResponse();
      assert.equal(other.response.headers.get("x-greenlane-policy"), "green");
      assert.equal(other.request_id, "node-1");
    });

    test("ten at a time", async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, () => create()));
      assert.ok(answers.every((answer) => answer.choices[0].message.content));
    });
  });
}

test("runTools ends with what the model says after the result", async () => {
  const runner = client.chat.completions.runTools({
    model: "gemini",
    messages: ASK_WEATHER,
    tools: [{ type: "function", function: { ...WEATHER, function: () => "rain", parse: JSON.parse } }],
  });
  assert.match(await runner.finalContent(), /rain/);
});

for (const model of ["openai", "gemini"]) {
  test(`n and logprobs on ${model}`, async () => {
    const answer = await client.chat.completions.create({ model, messages: HELLO, n: 2, logprobs: true, top_logprobs: 2 });
    assert.equal(answer.choices.length, 2);
    assert.equal(answer.choices[0].logprobs.content[0].top_logprobs.length, 2);
  });
}

test("a stream that is aborted ends", async () => {
  const stream = await client.chat.completions.create({ model: "openai-paced", messages: HELLO, stream: true });
  let count = 0;
  for await (const _ of stream) if (++count === 2) stream.controller.abort();
  assert.ok(count < 5);
});
