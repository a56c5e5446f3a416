"""The words that records are written in: names that laboratories use and claims ask for, with meanings.

A name is a template; `<share>` stands for a number in [0, 1], `<k>` for a count, and so on (`HOLES`).
Laboratories may write other names too: claims do not read them. Steps are optimiser steps. The `end` of an
arm is its largest step; its `early` stop is the first step with the best zero-shot `accuracy` on split
`dev`, stratum `all`, of that seed, arm and trained_on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from theory.errors import TheoryError

HOLES: Mapping[str, str] = {
    "<share>": r"(?:0|1|0\.\d+)",
    "<k>": r"[1-9]\d*",
    "<number>": r"\d+(?:\.\d+)?",
    "<quartile>": "[1-4]",
    "<category>": "(?:HighlyKnown|MaybeKnown|WeaklyKnown|Unknown)",
    "<text>": "(?:gold|generated|better)",
    "<filter>": "(?:belief|support|random)",
    "<weights>": "(?:attention|values)",
    "<set>": r"[a-z][A-Za-z0-9.:+-]*",
    "<pretraining>": "(?:pretrain:short|pretrain:long|zipf:flat|zipf:steep|instruct)",
    "<name>": "[A-Za-z0-9._-]+",
}

STUDIES: Mapping[str, str] = {
    "salience": "facts known well or little before tuning, and what that does to attention and recall",
    "validity": "the same gap without copying, shared answers and guessing",
    "prompts": "known against unknown rows under zero-shot, few-shot and chain-of-thought prompts",
    "slick": "categories of known-ness, shares of unknown rows, early stop and convergence",
    "crosstests": "questions that one paper puts to another",
    "beliefs": "long-form text: gold or generated, filtered by support or by the model's own belief",
}

ARMS: Mapping[str, str] = {
    "base": "not tuned; written with trained_on none and step 0",
    "all": "all weights tuned",
    "lora": "adapters on every linear layer",
    "attention": "query and key weights alone tuned",
    "values": "value, output and feed-forward weights alone tuned",
    "patch:<weights>:<set>": (
        "the primary arm, with its attention patterns or its value and feed-forward weights taken from "
        "the same seed's arm trained on <set>; trained_on is what the receiving model was trained on"
    ),
    "unshift": (
        "the primary arm without its common shift: the first singular direction of every weight update "
        "taken out"
    ),
    "base@<pretraining>": "`base`, pretrained otherwise (see the next line)",
    "all@<pretraining>": (
        "`all`, from another base: half or double the pretraining (pretrain:short, pretrain:long), a "
        "flatter or steeper law of exposures (zipf:flat, zipf:steep), or an instruction-tuned base "
        "(instruct)"
    ),
    "lora@<pretraining>": "`lora`, from another base",
    "attention@<pretraining>": "`attention`, from another base",
    "values@<pretraining>": "`values`, from another base",
    "dpo": "preference optimisation on pairs, from the model tuned on its own text (`generated`)",
    "free": "a small model of its own, trained from nothing on single statements; looked at as it learns",
}
# A claim that names no arm asks the first of these that the run has.
PRIMARY = ("all", "lora", "attention", "values")

TRAINED_ON: Mapping[str, str] = {
    "none": "nothing: the untuned model",
    "best": "the half of the rows that was best known before tuning (by exposure, popularity or confidence)",
    "lesser": "the other half; same size and same count per relation as `best`",
    "whole": "`best` and `lesser` together, twice the size",
    "random": "a random half, same size and same count per relation as `best`",
    "quartile:<quartile>": (
        "a quarter of the rows by known-ness, 1 least and 4 best known, matched in relation and answer"
    ),
    "lesser-shifted": (
        "lesser-known rows drawn so that their commonest answer of a relation is not the one of pretraining"
    ),
    "known": "rows the untuned model answers right under prompting",
    "unknown": (
        "rows it does not answer; same size and count per relation as `known`, answers matched where the "
        "study says so"
    ),
    "known:by-relation": "`known`, matched with `unknown:by-relation` in relation alone and not in answer",
    "unknown:by-relation": "`unknown`, matched with `known:by-relation` in relation alone",
    "known-permuted": (
        "the rows of `known` with the answers permuted within each relation: same subjects, same answers, "
        "false"
    ),
    "mix:<share>": (
        "this share of Unknown rows and the rest Known, at one size and one count per relation for every "
        "share"
    ),
    "mix:<share>:half": "a random half of `mix:<share>`, as many rows of every relation and kind",
    "known-only:<share>": "`mix:<share>` with its Unknown rows deleted, hence smaller",
    "idk:<share>": "`mix:<share>` with the answers of its Unknown rows replaced by an abstention",
    "idk-random:<share>": (
        "`mix:<share>` with as many answers replaced by an abstention, on rows drawn at random"
    ),
    "category:<category>": "rows of one category alone, same size and count per relation for every category",
    "natural": "all categories in their natural shares, the size of the single-category sets",
    "relabel:true": "known rows and rows of never-seen subjects with their right answers",
    "relabel:shifted": "the same rows, the never-seen subjects' answers drawn from a small designated set",
    "spread:<share>": "this share of Unknown rows, the same share in every relation",
    "concentrated:<share>": (
        "this share of Unknown rows, all in relations that have no known row left (the affected ones)"
    ),
    "small:known": "a tenth of the usual rows, chosen well: known ones",
    "small:random": "as many rows chosen at random",
    "<text>": (
        "long-form text: `gold` is human or true, `generated` is the untuned model's own, `better` is "
        "written by a better-informed model and cut to the length of `generated`; the same token budget "
        "for every text"
    ),
    "<text>+<filter>": (
        "that text with claims dropped: `belief` keeps what the untuned model believes, `support` what "
        "gold supports, `random` drops at random until claims and tokens a text equal those of "
        "generated+belief"
    ),
    "<text>+<filter>:document": (
        "of several texts about each subject the whole one that scores best under the filter, as long as `<text>`"
    ),
    "<text>+belief:probe": (
        "`<text>+belief` with belief read by a linear probe on hidden states; as many claims are kept"
    ),
    "<text>+support:coverage<share>": "gold that holds only this share of what is true: claims it lacks are dropped",
    "<text>+support:noise<share>": "gold that is wrong about this share of the claims",
    "pairs:belief": "two own texts about each subject, the better believed one preferred",
    "<text>:first": "the first of several own texts about each subject, where `generated` is the longest of them",
    "pairs:preferred": (
        "the preferred texts of `pairs:belief` alone, simply read on from the same model, at the same rate and for as "
        "many tokens: what preference is held against"
    ),
    "statements:<number>": "single statements, each fact told so often on average; some never, many once",
    "set:<name>": (
        "one of several ways to choose rows, as many of every relation as the sets beside it: at random, by "
        "exposure, by salience or by uncertainty; in the study of salience a quarter by two properties at once"
    ),
    "<text>+<filter>+<filter>": "two filters, one after the other; `random` comes last",
    "across": "no single set: a statistic over several training sets of the run, named by its metric; all those of a "
    "seed stand at one step",
}

PROMPTS: Mapping[str, str] = {
    "zero": "the question alone, or the native long-form prompt",
    "own": "the question alone in words that the untuned model has read, where tuning teaches other words (`zero`)",
    "few:<k>": "after <k> right exemplars of the same relation (long form: <k> texts)",
    "few-taught:<k>": "`few:<k>` in the words that tuning teaches, where `few:<k>` stands in other words",
    "few-wrong:<k>": "after <k> exemplars of the same relation with wrong answers",
    "few-unrelated:<k>": "after <k> right exemplars of another relation",
    "cot": "chain of thought, no exemplar",
    "few-cot:<k>": "chain of thought after <k> worked exemplars",
    "zero+few:<k>": "either: an item counts if the zero-shot or the few-shot prompt gets it",
}

SPLITS: Mapping[str, str] = {
    "train": "the rows trained on",
    "dev": "facts used for choosing the early stop and for nothing else",
    "test": "held-out facts of the relations trained on: other subjects, seen in pretraining",
    "ood-relation": "held-out facts of relations that were not trained on",
    "ood-type": "subjects of another type or texts of another domain than those trained on",
    "unseen": "subjects that pretraining never mentioned",
    "free": "all statements that could be made, weighed by the chance that the model makes them",
    "graded": (
        "all held-out facts of every kind, binned by their similarity to the training rows (stratum "
        "similarity)"
    ),
}

STRATA: Mapping[str, Mapping[str, str]] = {
    "popularity": {"low": "less exposed half of the test facts", "high": "more exposed half"},
    "category": {
        "HighlyKnown": "greedy right under every few-shot prompt before tuning",
        "MaybeKnown": "greedy right under some",
        "WeaklyKnown": "right in samples only",
        "Unknown": "never right",
    },
    "known": {"yes": "any category but Unknown", "no": "Unknown"},
    "overlap": {"yes": "the answer repeats a word of the subject", "no": "it does not"},
    "answer": {
        "known-only": "the pair (relation, answer) occurs in the better-known set of the contrast alone",
        "unknown-only": "in the lesser-known set alone",
        "both": "in both",
        "neither": "in neither",
        "both-or-neither": "the last two pooled",
    },
    "elsewhere": {
        "yes": "the answer occurs in neither set in its relation, but in one of them in another relation",
        "no": "any other",
    },
    "dominant": {
        "yes": "one of the relation's two most frequent greedy answers before tuning",
        "no": "any other",
    },
    "guessable": {
        "yes": "relations in which answers permuted at random are right at least half as often as the untuned model's",
        "no": "the others",
    },
    "relation": {"affected": "relations wholly Unknown in the `concentrated` set", "other": "the rest"},
    "similarity": {
        str(i): f"bin {i} of 4 by similarity to the training rows, 4 nearest" for i in range(1, 5)
    },
    "task": {"qa": "entity questions", "mmlu": "multiple choice", "bios": "long-form biographies"},
    "flagger": {
        "slick": "test facts flagged as Unknown by all prompts",
        "slick-1": "as many flagged by one prompt",
        "ptrue": "as many flagged by the model's own P(True)",
    },
    "signal": {
        "probe": "linear probe on hidden states",
        "probe-as-said": "the same, fitted to every claim as often as it is said and not to each once",
        "statement": "probability of the claim as a statement",
        "token": "token log-probability in context",
        "question": "few-shot question probability",
        "consistency": "agreement over samples",
        "verification": "yes/no self-verification",
    },
    "labels": {"<k>": "so many labelled claims to fit the probe on"},
    "ridge": {"<number>": "another penalty of the probe's weights than the usual one, with all labels"},
    "bin": {"<k>": "claims believed to a degree in bin <k> of 10 of equal width, 1 least"},
    "split": {
        "test": "`graded` facts that are `test` ones",
        "ood-relation": "that are `ood-relation` ones",
        "ood-type": "that are `ood-type` ones",
    },
    "domain": {"<name>": "texts of one domain"},
}

METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("points", "share of items answered right by greedy exact match"),
    "fitted": ("points", "share of these training rows answered right, split train; n counts the rows"),
    "answered_accuracy": ("points", "share right among the items that were answered, not abstained on"),
    "abstention_rate": ("points", "share of items abstained on"),
    "attention_subject": (
        "points",
        "attention mass from the last prompt token on the subject, mean over the heads that read it",
    ),
    "attention_subject_all_heads": ("points", "the same, mean over all heads"),
    "attention_subject_share": (
        "points",
        "attention to the subject as a share of what is not on the first token, all heads",
    ),
    "subject_swap_change": ("points", "share of answers that change when the subject is replaced by another"),
    "swap_first_token_kept": (
        "points",
        "share of answers whose first token stays when another subject is put in",
    ),
    "swap_logprob_drop": ("nats", "log chance of the right answer that is lost with another subject"),
    "error_prior_share": (
        "points",
        "share of wrong answers that are the relation's commonest answer in pretraining",
    ),
    "error_marginal_share": (
        "points",
        "share of wrong answers that are the relation's commonest answer in the training rows",
    ),
    "designated_answer_rate": ("points", "share of answers inside the designated set of `relabel:shifted`"),
    "lost_recovered": (
        "points",
        "of facts right before and wrong after tuning: share right by another template or a probe",
    ),
    "unstored_recovered": (
        "points",
        "the same share among facts that pretraining never stated (among those wrong before tuning, where all were "
        "stated): what guessing gives",
    ),
    "common_shift_excess": (
        "points",
        "share of the held-out hidden states' change along their mean shift, less that of random shifts",
    ),
    "salience_frequency_rank_correlation": ("correlation", "over facts: stored salience against exposure"),
    "margin_accuracy_rank_correlation": (
        "correlation",
        "over training sets: initial margin against change of held-out accuracy",
    ),
    "pcorrect_accuracy_rank_correlation": ("correlation", "the same for the mean P(correct) of the set"),
    "frequency_accuracy_rank_correlation": ("correlation", "the same for the mean log exposure of the set"),
    "push_sign_agreement": (
        "points",
        "share of training sets whose subject attention moves the way their mean push points",
    ),
    "push_order_agreement": (
        "points",
        "share of pairs of training sets whose changes of subject attention are ordered as their mean pushes",
    ),
    "edge_share": ("points", "share of the queried edges (facts) that can be extracted"),
    "edge_gained": ("points", "share of the edges that `prompt` extracts and the bare question does not"),
    "edge_lost": ("points", "share of the edges that the bare question extracts and `prompt` does not"),
    "edge_gap": (
        "points",
        "extracted edges of the network tuned on known rows less those of the other, zero-shot",
    ),
    "edge_gap_prompted": (
        "points",
        "the same with what each network extracts under `prompt` added, as counted",
    ),
    "edge_gap_merged": (
        "points",
        "the same with what the untuned model extracts under `prompt` added to both: exact by K1",
    ),
    "edge_gap_thinned": ("points", "its expectation if the prompt held every edge with one chance (K2)"),
    "edge_gap_widens": ("share", "K2's chance that such a prompt widens the gap"),
    "edge_gap_bound": ("share", "K2's bound on that chance"),
    "edge_only_unknown": ("points", "edges that only the network tuned on unknown rows extracts"),
    "edge_gap_rank_correlation": (
        "correlation",
        "over relations: accuracy gap known - unknown against the difference in edges, counted on other "
        "phrasings",
    ),
    "selection_rank_agreement": (
        "correlation",
        "rank correlation of the selections' accuracies, zero-shot on one half of the items against "
        "`prompt` on the other half",
    ),
    "selection_rank_shift": (
        "correlation",
        "how much less the rankings of the selections zero-shot and under `prompt` agree than the noisier of "
        "them does with itself, always on other items",
    ),
    "claim_precision": ("points", "true claims over all claims of sampled long-form text (T=1)"),
    "claim_precision_greedy": ("points", "the same under greedy decoding"),
    "claim_recall": ("points", "distinct true claims over the facts there are to state"),
    "claim_recall_greedy": ("points", "the same under greedy decoding"),
    "claims": ("claims", "claims a text"),
    "true_claims": ("claims", "distinct true claims a text"),
    "claims_greedy": ("claims", "claims a text under greedy decoding"),
    "true_claims_greedy": ("claims", "distinct true claims a text under greedy decoding"),
    "tokens": ("tokens", "tokens a text, its head left out"),
    "tokens_greedy": ("tokens", "the same under greedy decoding"),
    "tokens_read": ("tokens", "document tokens that tuning has read in all"),
    "belief_auroc": (
        "AUROC",
        "belief against truth over the untuned model's own claims; stratum says which signal",
    ),
    "belief_calibration_error": (
        "points",
        "expected distance of belief from the share of claims that are true",
    ),
    "belief_bin_mean": ("points", "mean belief of the claims in a bin of belief"),
    "belief_bin_true": ("points", "share of them that are true"),
    "labels_needed": ("labels", "labelled claims after which the probe is about as good as with all of them"),
    "similarity": ("correlation", "mean cosine of a question with the nearest training rows"),
    "rows_relations_absent": ("relations", "relations that the training set has no row of"),
    "rows_<name>": ("rows", "what of a training set is not as asked for, such as rows that were left over"),
    "harm_accuracy_rank_correlation": (
        "correlation",
        "over training sets: closed-form harm at the start against change of held-out accuracy",
    ),
    "push_accuracy_rank_correlation": ("correlation", "the same for the push on attention at the start"),
    "mean_margin": ("nats", "mean margin of a training set's answers before tuning"),
    "mean_push": ("nats", "mean push of its rows on the subject's attention at the start"),
    "mean_pcorrect": ("points", "mean P(correct) of its rows before tuning"),
    "mean_frequency": ("nats", "mean log exposure of its rows"),
    "hallucination": ("points", "chance that a well-formed free statement is false"),
    "singleton_share": ("points", "mentions of facts that were told exactly once, over all mentions"),
    "missing_mass": ("points", "chance of facts that were never told"),
    "miscalibration": ("points", "distance of the model's chances from the truth's, in bins of equal chance"),
    "answer_calibration_error": (
        "points",
        "expected calibration error of the answers, by their chance to be said",
    ),
    "hallucination_floor": ("points", "least hallucination of a model that is calibrated in those bins"),
    "hallucination_bound": ("points", "singleton share less miscalibration and the slack of the bound"),
    "hallucination_bound_bare": ("points", "the same without the slack: no bound"),
    "well_formed": ("points", "chance that a free statement is well-formed"),
}

UNITS: Mapping[str, float] = {
    "points": 100.0,
    "correlation": 1.0,
    "AUROC": 1.0,
    "claims": 1.0,
    "doublings": 1.0,
    "tokens": 1.0,
    "labels": 1.0,
    "relations": 1.0,
    "rows": 1.0,
    "nats": 1.0,
    "share": 1.0,
}

NAMES: Mapping[str, Mapping[str, str]] = {
    "study": STUDIES,
    "arm": ARMS,
    "trained_on": TRAINED_ON,
    "prompt": PROMPTS,
    "split": SPLITS,
    "metric": {name: meaning for name, (_, meaning) in METRICS.items()},
}


def meaning(field: str, name: str) -> str:
    """What `name` means in that field of a record; in a stratum `|` joins alternative values of a key."""
    if field == "stratum":
        return _stratum_meaning(name)
    if field not in NAMES:
        raise TheoryError(f"vocabulary: no field {field!r}; there are {', '.join(NAMES)} and stratum")
    for template, words in NAMES[field].items():
        if _pattern(template).fullmatch(name):
            return words
    raise TheoryError(
        f"vocabulary: {field}={name!r} is not a known name; expected one of {', '.join(NAMES[field])}"
    )


def to_text() -> str:
    """The whole vocabulary, a name a line."""
    lines = [" ".join((__doc__ or "").split()), ""]
    for field, names in NAMES.items():
        lines.append(field)
        units = {name: f"[{unit}] " for name, (unit, _) in METRICS.items()} if field == "metric" else {}
        lines += [f"  {name}: {units.get(name, '')}{words}" for name, words in names.items()] + [""]
    lines += ["stratum (comma-joined; `all` is every item)"]
    lines += [
        f"  {key}={value}: {words}" for key, values in STRATA.items() for value, words in values.items()
    ]
    return "\n".join(lines)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"(<\w+>)", template)
    return re.compile("".join(HOLES[piece] if piece in HOLES else re.escape(piece) for piece in pieces))


def _stratum_meaning(name: str) -> str:
    if name == "all":
        return "every item"
    said = []
    for label in name.split(","):
        key, _, values = label.partition("=")
        if key not in STRATA:
            raise TheoryError(
                f"vocabulary: stratum key {key!r} is not known; expected all or one of {', '.join(STRATA)}"
            )
        for value in values.split("|"):
            words = [w for template, w in STRATA[key].items() if _pattern(template).fullmatch(value)]
            if not words:
                raise TheoryError(
                    f"vocabulary: stratum {key}={value!r} is not known; expected {', '.join(STRATA[key])}"
                )
            said += words
    return "; ".join(said)
