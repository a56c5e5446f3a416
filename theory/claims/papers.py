"""Where the claims come from."""

from __future__ import annotations

from theory.claims.base import Paper

A = Paper(
    "Ghosal 2024",
    "Ghosal, Hashimoto, Raghunathan. Understanding Finetuning for Factual Knowledge Extraction. ICML "
    "2024, arXiv 2406.14785",
)
B = Paper(
    "Gong 2025",
    "Gong, Huang, Liang. From Parameters to Prompts: Understanding and Mitigating the Factuality Gap "
    "between Fine-Tuned LLMs. arXiv 2505.23410, 2025",
)
C = Paper(
    "Gekhman 2024",
    "Gekhman, Yona, Aharoni, Eyal, Feder, Reichart, Herzig. Does Fine-Tuning LLMs on New Knowledge "
    "Encourage Hallucinations? EMNLP 2024, arXiv 2405.05904",
)
D = Paper(
    "Newman 2025",
    "Newman et al. The Curious Case of Factuality Finetuning: Models' Internal Beliefs Can Improve "
    "Factuality. arXiv 2507.08371, 2025",
)
KANG = Paper(
    "Kang 2024",
    "Kang, Wallace, Tomlin, Kumar, Levine. Unfamiliar Finetuning Examples Control How Language Models "
    "Hallucinate. NAACL 2025, arXiv 2403.05612",
)
DANG = Paper(
    "Dang 2025",
    "Dang, Hu, Lai, Gao, Zhang, Huang. Understanding New-Knowledge-Induced Factual Hallucinations in "
    "LLMs. arXiv 2511.02626, 2025",
)
PALIT = Paper(
    "Palit 2026", "Palit, Draye, Zucchet, Jin, Schölkopf. When Forgetting Is Not Catastrophic. 2026"
)
WEE = Paper(
    "Wee 2024",
    "Wee, Baghdadi. Exploring the Knowledge Mismatch Hypothesis: Hallucination Propensity in Small Models "
    "Fine-tuned on Data from Larger Models. BDCAT 2024, arXiv 2411.00878",
)
OURS = Paper("this project", "A test proposed by this project")
