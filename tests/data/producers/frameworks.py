"""Frameworks that call models by OpenAI's client, each watched by several instrumentations."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from clients import as_openai
from scripted import MODEL, SCRIPT
from watched import TOOL, Watched, drained

# LangChain and LangGraph, on OpenAI's client


def ask_langchain(url: str, request: Callable[[dict[str, Any]], Any] = lambda _: nullcontext(), **more: Any) -> None:
    """Call the model within a graph, and tell whose call it is as LangGraph's users do."""
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph
    from openai import RateLimitError

    def model(state: MessagesState) -> dict[str, Any]:
        streamed = next(call for call in SCRIPT if as_openai(call["messages"][-1])["content"] in
                        [state["messages"][-1].content]).get("streamed", False)  # fmt: skip
        chat = ChatOpenAI(
            model=MODEL, base_url=f"{url}/v1", api_key="none", max_retries=0, streaming=streamed, stream_usage=True
        ).bind_tools([{"type": "function", "function": TOOL}])
        return {"messages": [chat.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_edge(START, "model")
    graph.add_edge("model", END)
    compiled = graph.compile()
    for call in SCRIPT:
        config: Any = {"configurable": {"thread_id": call["name"]}, "metadata": {"user_id": "u-1"}, **more}
        with request(call), suppress(RateLimitError):
            compiled.invoke({"messages": list(map(as_openai, call["messages"]))}, config)


def openinference_langchain(url: str, watched: Watched) -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url)


def openinference_langchain_openai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url, watched.request)


def openllmetry_langchain(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url)


def openllmetry_langchain_openai(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url, watched.request)


def openllmetry_langchain_semconv(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers, logger_provider=watched.loggers)
    ask_langchain(url, watched.request)


# LlamaIndex


def ask_llamaindex(url: str, watched: Watched) -> None:
    from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai_like import OpenAILike
    from openai import RateLimitError

    def message(each: dict[str, Any]) -> Any:
        content = each["content"]
        more = {"tool_calls": as_openai(each)["tool_calls"]} if "tool_calls" in each else {}
        if each["role"] == "tool":
            more["tool_call_id"] = each["id"]
        if not isinstance(content, str):
            image = {"image": base64.b64decode("iVBORw0KGgo="), "image_mimetype": "image/png"}
            content = [TextBlock(text=part) if isinstance(part, str) else ImageBlock(**image) for part in content]
        return ChatMessage(role=each["role"], content=content, additional_kwargs=more)

    llm = OpenAILike(
        model=MODEL, api_base=f"{url}/v1", api_key="none", is_chat_model=True, is_function_calling_model=True,
        max_retries=0,
    )  # fmt: skip
    tools = [{"type": "function", "function": TOOL}]
    for call in SCRIPT:
        asked = list(map(message, call["messages"]))
        with watched.request(call), suppress(RateLimitError):
            if call.get("streamed"):
                drained(llm.stream_chat(asked, tools=tools, stream_options={"include_usage": True}))
            else:
                llm.chat(asked, tools=tools)
    OpenAIEmbedding(model_name="text-embedding-3-small", api_base=f"{url}/v1", api_key="none").get_text_embedding(
        "a text"
    )


def openinference_llamaindex(url: str, watched: Watched) -> None:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_llamaindex(url, watched)


def openinference_llamaindex_openai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    openinference_llamaindex(url, watched)


def openllmetry_llamaindex(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_llamaindex(url, watched)


# Pydantic AI


def ask_pydantic(url: str, watched: Watched) -> None:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, BinaryContent, ModelHTTPError
    from pydantic_ai import messages as of
    from pydantic_ai.direct import model_request_stream_sync, model_request_sync
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.tools import ToolDefinition

    def message(each: dict[str, Any]) -> Any:
        content = each["content"]
        if each["role"] == "assistant":
            parts = [
                of.ToolCallPart(tool["name"], tool["arguments"], tool["id"]) for tool in each.get("tool_calls", ())
            ]
            return of.ModelResponse(parts=([of.TextPart(content)] if content else []) + parts)
        if each["role"] == "tool":
            return of.ModelRequest(parts=[of.ToolReturnPart(each["name"], content, each["id"])])
        if each["role"] == "system":
            return of.ModelRequest(parts=[of.SystemPromptPart(content)])
        if not isinstance(content, str):
            content = [
                part
                if isinstance(part, str)
                else BinaryContent(base64.b64decode("iVBORw0KGgo="), media_type="image/png")
                for part in content
            ]
        return of.ModelRequest(parts=[of.UserPromptPart(content)])

    Agent.instrument_all()
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
    tool = ToolDefinition(name=TOOL["name"], description=TOOL["description"], parameters_json_schema=TOOL["parameters"])
    more: dict[str, Any] = {"model_request_parameters": ModelRequestParameters(function_tools=[tool])}
    for call in SCRIPT:
        asked = list(map(message, call["messages"]))
        with watched.request(call), suppress(ModelHTTPError):
            if call["name"] == "chat":  # by an agent, which has a span of its own
                Agent(model, instructions="You are terse.").run_sync(call["messages"][-1]["content"])
            elif call["name"] == "turns":
                Agent(model).run_sync(call["messages"][-1]["content"], message_history=asked[:-1])
            elif call.get("streamed"):
                with model_request_stream_sync(model, asked, instrument=True, **more) as streamed:
                    drained(streamed)
            else:
                model_request_sync(model, asked, instrument=True, **more)


def pydantic_ai(url: str, watched: Watched) -> None:
    ask_pydantic(url, watched)


# OpenAI's agents, by the Responses API


def ask_agents(url: str, watched: Watched) -> None:
    import asyncio

    from agents import Agent, ModelBehaviorError, Runner, function_tool, set_default_openai_client
    from openai import AsyncOpenAI, RateLimitError

    @function_tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    def items(each: dict[str, Any]) -> list[dict[str, Any]]:
        content = each["content"]
        if each["role"] == "tool":
            return [{"type": "function_call_output", "call_id": each["id"], "output": content}]
        if not isinstance(content, str):
            content = [
                {"type": "input_text", "text": part} if isinstance(part, str) else
                {"type": "input_image", "image_url": f"data:image/png;base64,{part['image']}", "detail": "auto"}
                for part in content
            ]  # fmt: skip
        found = [{"role": each["role"], "content": content}] if content else []
        return found + [
            {"type": "function_call", "call_id": t["id"], "name": t["name"], "arguments": json.dumps(t["arguments"])}
            for t in each.get("tool_calls", ())
        ]

    async def run(call: dict[str, Any]) -> None:
        system = next((each["content"] for each in call["messages"] if each["role"] == "system"), None)
        asked: Any = [item for each in call["messages"] if each["role"] != "system" for item in items(each)]
        agent = Agent(
            "helper", instructions=system, model=MODEL, tools=[weather], tool_use_behavior="stop_on_first_tool"
        )
        if call.get("streamed"):
            async for _ in Runner.run_streamed(agent, asked).stream_events():
                pass
        else:
            await Runner.run(agent, asked[0]["content"] if call["name"] == "chat" else asked)

    async def run_all() -> None:
        set_default_openai_client(
            AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), use_for_tracing=False
        )
        for call in SCRIPT:
            with watched.request(call), suppress(RateLimitError, ModelBehaviorError):
                await run(call)

    asyncio.run(run_all())


def openinference_agents(url: str, watched: Watched) -> None:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    OpenAIAgentsInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_agents(url, watched)


def openinference_agents_openai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    openinference_agents(url, watched)


def openllmetry_agents(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    OpenAIAgentsInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_agents(url, watched)


def semconv_agents(url: str, watched: Watched) -> None:  # of the same name: not beside the other
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    OpenAIAgentsInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_agents(url, watched)


# Langfuse


def langfuse_client(watched: Watched, url: str) -> Any:
    from langfuse import Langfuse

    return Langfuse(public_key="pk", secret_key="sk", base_url=url, tracer_provider=watched.tracers)


@contextmanager
def langfuse_request(call: dict[str, Any]) -> Iterator[None]:
    from langfuse import propagate_attributes

    with propagate_attributes(session_id=call["name"], user_id="u-1"):
        yield


def langfuse_openai(url: str, watched: Watched) -> None:
    langfuse_client(watched, url)
    from langfuse.openai import OpenAI
    from openai import RateLimitError

    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    for call in SCRIPT:
        more: Any = {"tools": [{"type": "function", "function": TOOL}]}
        if call.get("streamed"):
            more |= {"stream": True, "stream_options": {"include_usage": True}}
        with langfuse_request(call), suppress(RateLimitError):
            answered = client.chat.completions.create(
                model=MODEL, messages=list(map(as_openai, call["messages"])), **more
            )
            drained(answered if call.get("streamed") else ())


def langfuse_langchain(url: str, watched: Watched) -> None:
    langfuse_client(watched, url)
    from langfuse.langchain import CallbackHandler

    ask_langchain(url, langfuse_request, callbacks=[CallbackHandler()])


# Haystack


def ask_haystack(url: str, watched: Watched) -> None:
    from haystack import Pipeline
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage, ImageContent, ToolCall
    from haystack.tools import Tool
    from haystack.utils import Secret

    def message(each: dict[str, Any]) -> Any:
        content = each["content"]
        tools = [ToolCall(t["name"], t["arguments"], id=t["id"]) for t in each.get("tool_calls", ())]
        if each["role"] == "assistant":
            return ChatMessage.from_assistant(content or None, tool_calls=tools or None)
        if each["role"] == "tool":
            return ChatMessage.from_tool(content, ToolCall(each["name"], {"city": "Oslo"}, id=each["id"]))
        if each["role"] == "system":
            return ChatMessage.from_system(content)
        if isinstance(content, str):
            return ChatMessage.from_user(content)
        image = ImageContent("iVBORw0KGgo=", mime_type="image/png", validation=False)
        return ChatMessage.from_user(content_parts=[p if isinstance(p, str) else image for p in content])

    tool = Tool(TOOL["name"], TOOL["description"], TOOL["parameters"], lambda city: f"rain in {city}")
    for call in SCRIPT:
        generator = OpenAIChatGenerator(
            Secret.from_token("none"), model=MODEL, api_base_url=f"{url}/v1", max_retries=0, tools=[tool],
            streaming_callback=(lambda _: None) if call.get("streamed") else None,
            generation_kwargs={"stream_options": {"include_usage": True}} if call.get("streamed") else {},
        )  # fmt: skip
        pipeline = Pipeline()
        pipeline.add_component("llm", generator)
        with watched.request(call), suppress(Exception):
            pipeline.run({"llm": {"messages": list(map(message, call["messages"]))}})


def openinference_haystack(url: str, watched: Watched) -> None:
    from openinference.instrumentation.haystack import HaystackInstrumentor

    HaystackInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_haystack(url, watched)


def openinference_haystack_openai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    openinference_haystack(url, watched)


# DSPy


def openinference_dspy(url: str, watched: Watched) -> None:
    import dspy
    from openinference.instrumentation.dspy import DSPyInstrumentor

    DSPyInstrumentor().instrument(tracer_provider=watched.tracers)
    lm = dspy.LM(f"openai/{MODEL}", api_base=f"{url}/v1", api_key="none", num_retries=0, cache=False)
    for call in SCRIPT:
        with watched.request(call), suppress(Exception):
            lm(messages=list(map(as_openai, call["messages"])))


# CrewAI


def ask_crewai(url: str, watched: Watched) -> None:
    from crewai import LLM, Agent, Crew, Task

    for call in SCRIPT:
        if call["name"] not in {"chat", "failed"}:
            continue
        llm = LLM(model=f"openai/{MODEL}", base_url=f"{url}/v1", api_key="none", max_retries=0)
        agent = Agent(role="helper", goal="help", backstory="terse", llm=llm, max_retry_limit=0)
        task = Task(description=call["messages"][-1]["content"], expected_output="a text", agent=agent)
        with watched.request(call), suppress(Exception):
            Crew(agents=[agent], tasks=[task]).kickoff()


def openinference_crewai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.crewai import CrewAIInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    CrewAIInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_crewai(url, watched)


# MLflow, which exports by itself


def mlflow_openai(url: str, watched: Watched) -> None:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{url}/v1/traces"
    import mlflow
    import mlflow.openai
    from openai import OpenAI, RateLimitError

    mlflow.openai.autolog()
    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    for call in SCRIPT:
        more: Any = {"tools": [{"type": "function", "function": TOOL}]}
        if call.get("streamed"):
            more |= {"stream": True, "stream_options": {"include_usage": True}}
        with mlflow.start_span("handle-request"), suppress(RateLimitError):
            mlflow.update_current_trace(metadata={"mlflow.trace.session": call["name"], "mlflow.trace.user": "u-1"})
            answered = client.chat.completions.create(
                model=MODEL, messages=list(map(as_openai, call["messages"])), **more
            )
            drained(answered if call.get("streamed") else ())
    client.embeddings.create(model="embed-1", input="a text", encoding_format="float")
    time.sleep(2)  # it exports in batches
