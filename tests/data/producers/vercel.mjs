// What Vercel's AI SDK exports of the calls of script.json: node vercel.mjs URL FILE, in a folder with its packages
import { gzipSync } from "node:zlib";
import { readFileSync, writeFileSync } from "node:fs";
import { embed, generateText, jsonSchema, streamText, tool } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";

const [url, file] = process.argv.slice(2);
const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "shop-assistant" }),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
provider.register();
const client = createOpenAICompatible({ name: "scripted", baseURL: `${url}/v1`, apiKey: "none", includeUsage: true });
const weather = tool({
  description: "Tell the weather.",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
});

function message({ role, content, tool_calls = [], id, name }) {
  if (role === "tool") {
    const output = { type: "text", value: content };
    return { role, content: [{ type: "tool-result", toolCallId: id, toolName: name, output }] };
  }
  const parts = (Array.isArray(content) ? content : content ? [content] : []).map((part) =>
    typeof part === "string" ? { type: "text", text: part } : { type: "image", image: part.image, mediaType: "image/png" },
  );
  for (const call of tool_calls) {
    parts.push({ type: "tool-call", toolCallId: call.id, toolName: call.name, input: call.arguments });
  }
  return { role, content: typeof content === "string" && !tool_calls.length ? content : parts };
}

for (const call of JSON.parse(readFileSync("script.json", "utf8"))) {
  const request = {
    model: client.chatModel("chat-7b"),
    messages: call.messages.map(message),
    tools: { weather },
    maxRetries: 0,
    experimental_telemetry: { isEnabled: true, metadata: { sessionId: call.name, userId: "u-1" } },
  };
  try {
    if (call.streamed) {
      await streamText({ ...request, onError() {} }).consumeStream();
    } else {
      await generateText(request);
    }
  } catch (error) {
    if (call.status !== 429) throw error;
  }
}
await embed({ model: client.textEmbeddingModel("embed-1"), value: "a text", experimental_telemetry: { isEnabled: true } });
const value = Buffer.from(ProtobufTraceSerializer.serializeRequest(exporter.getFinishedSpans()));
const length = Buffer.alloc(4);
length.writeUInt32BE(value.length);
writeFileSync(file, gzipSync(Buffer.concat([length, value])));
