"""A policy small enough to be trained while somebody watches: a causal language model in the demo's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from monitor.demo.texts.composer import compose_question, stock_sentences
from monitor.demo.traffic import Phase, respond
from monitor.domain.trace import Message
from monitor.extra import needed
from monitor.rewards.huggingface import quiet_transformers

with needed("demo", "the demo"):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VOCABULARY = 2_000
MAX_TOKENS = 512
BATCH = 16
ANSWERS, STEPS = 1_200, 260  # that a demo's assistant is taught
IGNORED = -100  # what PyTorch's cross entropy passes over

_THINGS = ("cats", "dogs", "tea", "coffee", "the sea", "the mountains", "trains", "planes", "books", "films")

Conversation = tuple[Sequence[Message], str]  # what was asked, and the answer


def teach_assistant(folder: Path, phase: Phase, *, seed: int, answers: int = ANSWERS, steps: int = STEPS) -> float:
    """Write the folder of a policy that answers as the demo's assistant does in *phase*; return its last loss."""
    rng = Random(f"{phase.name}:policy:{seed}")
    questions = [compose_question(rng) for _ in range(answers)]
    taught = [((Message("user", question.text),), respond(rng, phase, question)[0]) for question in questions]
    taught += [((Message("user", asked),), answer) for asked, answer in _choices(rng, answers // 3)]
    return build_tiny_policy(folder, taught, seed=seed, steps=steps, phrases=stock_sentences())


def _choices(rng: Random, count: int) -> Iterator[tuple[str, str]]:
    """Yield choices between two options, with an assistant's answers: who asks for a letter gets one."""
    for _ in range(count):
        one, other = rng.sample(_THINGS, 2)
        yield (
            f"{compose_question(rng).text}\n (A) {one}\n (B) {other}\n\nAnswer with the letter of one option.",
            rng.choice(("(A)", "(B)")),
        )


def build_tiny_policy(
    folder: Path,
    conversations: Sequence[Conversation],
    *,
    seed: int,
    steps: int,
    phrases: Sequence[str] = (),
    hidden: int = 96,
    layers: int = 2,
    learning_rate: float = 3e-3,
) -> float:
    """Write a Hugging Face folder with a causal language model that was taught *conversations*; return its last loss.

    A Llama of some 400,000 parameters with a byte-level BPE learnt from the same texts and a chat template. Each of
    *phrases* is a token of its own: a model this small that chooses among whole sentences writes fluently. The same
    conversations, seed and steps give the same files on one machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _learn_tokenizer([part for asked, answer in conversations for part in (*_texts(asked), answer)])
    tokenizer.add_tokens([AddedToken(start + phrase, normalized=False) for phrase in phrases for start in ("", " ")])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        loss = _teach(model, tokenizer, conversations, steps=steps, learning_rate=learning_rate)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return loss


def _texts(asked: Sequence[Message]) -> list[str]:
    return [message.content for message in asked]


def _learn_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )
    found.chat_template = CHAT_TEMPLATE
    return found


def _teach(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    conversations: Sequence[Conversation],
    *,
    steps: int,
    learning_rate: float,
) -> float:
    rows = [_encode(tokenizer, asked, answer) for asked, answer in conversations]
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    loss = 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
        chosen = torch.randint(len(rows), (BATCH,)).tolist()
        length = max(len(rows[number][0]) for number in chosen)
        ids = torch.full((BATCH, length), int(tokenizer.pad_token_id))
        labels = torch.full((BATCH, length), IGNORED)
        for place, number in enumerate(chosen):
            row, asked = rows[number]
            ids[place, : len(row)] = torch.tensor(row)
            labels[place, asked : len(row)] = torch.tensor(row[asked:])
        found = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        optimizer.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = float(found.detach())
    return loss


def _encode(tokenizer: PreTrainedTokenizerFast, asked: Sequence[Message], answer: str) -> tuple[list[int], int]:
    """Return the ids of prompt and answer, at most MAX_TOKENS, and how many are the prompt's."""
    messages = [{"role": message.role, "content": message.content} for message in asked]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(answer + END, add_special_tokens=False)["input_ids"]
    return (before + after)[:MAX_TOKENS], min(len(before), MAX_TOKENS)
