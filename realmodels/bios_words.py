"""Words that tell where English clauses and lists begin: closed classes, and commonly met irregular verbs."""

from __future__ import annotations


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRONOUNS = words_of("he she they it")
POSSESSIVES = words_of("his her their its")
DETERMINERS = words_of(
    "a an the this that these those several many various numerous multiple two three four five"
)
PREPOSITIONS = words_of(
    "in on at for from to with by of as about against alongside among around between during into like near over "
    "since through throughout under until upon within without before after including toward towards across"
)
BE = words_of("is was are were been be")
HELPERS = BE | words_of("has have had will would can could did does do may might")
ADVERBS = words_of(
    "also later then eventually subsequently currently now still never even often frequently famously first last "
    "once soon previously formerly originally initially only both ultimately finally reportedly briefly"
)
VERBS = HELPERS | words_of(
    "became becomes began begins won wins wrote writes made makes led leads held holds went goes took takes gave "
    "gives got left grew rose ran runs sang sings spent saw set sold taught teaches told built brought broke bought "
    "came comes chose drew fought found fell felt kept knew lost met paid sent shot stood struck swam threw wore "
    "works plays lives serves hosts includes include features appears directs continues remains resides owns "
    "stars focuses covers enjoys attends married beat understood oversaw underwent put read caught "
    "earned lay sat slept throws finds brings helps seeks used said says sought"
)
IRREGULAR = {
    "becoming": "became", "winning": "won", "making": "made", "leading": "led", "writing": "wrote",
    "taking": "took", "holding": "held", "beginning": "began", "giving": "gave", "singing": "sang",
    "running": "ran", "going": "went", "getting": "got", "leaving": "left", "bringing": "brought",
    "coming": "came", "losing": "lost", "finding": "found", "selling": "sold", "teaching": "taught",
    "spending": "spent", "setting": "set", "beating": "beat", "fighting": "fought", "being": "was",
    "having": "had", "meeting": "met", "growing": "grew", "rising": "rose", "building": "built",
}  # fmt: skip
NOT_VERBS = words_of(
    "need speed breed seed red bed hundred sacred naked talented gifted renowned acclaimed united"
)
DEMONYM = r"[A-Z][\w’'-]*(?:an|ian|ish|ese|ch|eli|aqi|ani|ari|ek|ss|utch|rab|ai|ic|elsh)"
