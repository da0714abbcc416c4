"""A reward model's backbone small enough to be trained while somebody watches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from monitor.extra import needed
from monitor.rewards.huggingface import quiet_transformers

with needed("demo", "the demo"):
    import torch
    from transformers import ModernBertConfig, ModernBertForSequenceClassification, PreTrainedTokenizerFast

PAD, START, END, UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"
SPECIAL = (PAD, START, END, UNKNOWN)
VOCABULARY = 4_000
MAX_TOKENS = 512
ATTENTION_HEADS = 2


def build_tiny_base(
    folder: Path, texts: Iterable[str], *, seed: int, hidden: int = 32, layers: int = 1, vocabulary: int = VOCABULARY
) -> None:
    """Write a Hugging Face folder with a random model of one output and a tokenizer learnt from *texts*.

    An encoder whose answer is the mean over all tokens: at this size it learns
    from hundreds of pairs, where reading only the last token needs many thousands.
    The same texts and seed give the same files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _learn_tokenizer(texts, vocabulary)
    tokenizer.save_pretrained(folder)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=ATTENTION_HEADS,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=hidden**-0.5,
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        cls_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
        num_labels=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with quiet_transformers():
            ModernBertForSequenceClassification(config).save_pretrained(folder)


def score_on_one_core() -> None:
    """Keep torch in this process to one thread: it shares two cores with a broker, a database and a training run."""
    torch.set_num_threads(1)


def _learn_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE: no text is outside of it, whatever its language."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token=PAD,
        cls_token=START,
        sep_token=END,
        unk_token=UNKNOWN,
    )
