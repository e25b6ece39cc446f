"""The words that the audit knows in free text: patterns, each with examples of what it matches.

No list of phrasings is complete. These are common ones, and the audit reads nothing else of a
sentence. `tests/thoughts/test_lexicon.py` holds every example against its pattern.
"""

import re


def _words(*alternatives: str) -> re.Pattern[str]:
    """Any of these as whole words, in any case."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.IGNORECASE)


def _any_of(*alternatives: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """Any of these, in any case unless `flags` say otherwise."""
    return re.compile("|".join(alternatives), flags)


# --- Steps and clauses ---------------------------------------------------------------------------

# How a step begins, with its number: "Step 1:", "**Step 2.**", "3. ", "4) "
STEP_HEADING = re.compile(
    r"^[ \t>#*_+•-]*+"
    r"(?:step[ \t]++(?P<step>\d{1,3})[*_]*+[ \t]*+[:.)–—-]|(?P<item>\d{1,3})[.)](?![^\s*_]))",
    re.IGNORECASE | re.MULTILINE,
)

# What ends a clause: ". ", ";", "\n", "but"
CLAUSE_END = _any_of(
    r"[.;,!?](?=\s|$)",
    r"\n",
    r"\b(?:and|but|while|whereas|so|though|although)\b",
)

# Something mentioned by number: "step 2", "Chain #3", "neighbour 1", "steps 1, 3 and 4"
MENTION = re.compile(
    r"\b(?P<word>step|chain|neighbour)"
    r"(?:\s++#?(?P<one>\d{1,3})"
    r"|s\s++(?P<many>\d{1,3}(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,3})*+))",
    re.IGNORECASE,
)

# Numbers from one to another: "1-5", "2 to 4"
NUMBER_RANGE = re.compile(r"\d\s*(?:to|-|–)\s*\d")

# --- Phrases that no thought may have ------------------------------------------------------------

# Pointing at what is still to come
POINTS_AHEAD = _any_of(
    r"\b(?:as|which|what) (?:we|I)(?: will|[’']ll| shall) (?:later )?"
    r"(?:see|find|show|learn)",  # "as we will see", "what I'll later show"
    r"\b(?:later|next|following|coming|subsequent) steps?\b",  # "next step", "later steps"
    r"\b(?:see|shown|explained|discussed) (?:below|later)\b",  # "explained below"
    r"\bas (?:will|shall) be\b",  # "as will be"
)

# Speaking as someone who was told the answer
WAS_TOLD = _any_of(
    r"\b(?:correct|true|given|actual|known|right|real|final) answer\b",  # "the correct answer"
    r"\b(?:correct|true|actual) (?:rating|score|label|choice)\b",  # "the true rating"
    r"\b(?:the|my) answer (?:is|was|must|should)\b",  # "the answer must be"
    r"\bground[ -]truth\b",  # "ground truth"
    r"\bheld[ -]out\b",  # "held-out"
    r"\branking:",  # "Ranking:"
    r"(?:^|[.;*:]\s*)(?:(?:final|predicted|expected) )?"
    r"(?:rating|ranking)\W{0,4}[:=]",  # "Final rating: 4"
    r"\bactually (?:chose|picked)\b",  # "actually chose"
    r"\bthe positive(?=[.,:;)]| (?:is|item|candidate|label|one|sample)\b)",  # "the positive"
    r"\bnext (?:choice|pick|purchase) (?:is|was|will)\b",  # "the next purchase was"
    r"\b(?:as|I was|I am|we (?:are|were)) told\b(?! (?:in|by|above)\b)",  # "as told", "I was told"
    r"\b(?:knowing|aware|(?:I|we) know)(?: that| of)?(?: the| its| their)?(?: \w+)? "
    r"(?:outcome|answer|truth)\b",  # "knowing the outcome", "we know their true answer"
    flags=re.IGNORECASE | re.MULTILINE,
)

# Telling what the user did after all, before it is concluded
FORETELLS = _any_of(
    r"\bin the end,? (?:they|he|she|(?:the )?user)\b",  # "in the end they", "In the end, the user"
    r"\buser (?:then |later )?"
    r"(?:went on to|end(?:s|ed) up|eventually|ultimately)\b",  # "user later went on to"
)

# --- Who and what --------------------------------------------------------------------------------

# Someone whose opinion it is: "the user", "they"
PERSON = _words("user", "they", "them", "he", "she")

# Another's opinion, or a question: "neighbour", "whether they like it"
NOT_THE_USERS = _words("neighbour", "whether", "if")

# An item that has no name yet: "it", "this one"
UNNAMED_ITEM = _words("it", "this one", "that one", "the next")

# Item 1 in words (searched for in lower case only): "the first movie", "item 1"
FIRST_ITEM = r"\b(?:item 1|first (?:item|movie|film|book|product|title|one))\b"

# What is expected and not known: "expects", "would", "conclude"
PREDICTS = re.compile(
    r"\b(?:expect|predict|would|will|likely|probably|estimate|should|might|may|conclu)",
    re.IGNORECASE,
)

# A denial: "no horror", "rather than", "doesn't"
DENIAL = _any_of(
    r"\b(?:no|not|none|nothing|never|neither|nor|without|lacks?|rather than|instead of|unlike)\b",
    r"n[’']t\b",
)

# --- Ratings -------------------------------------------------------------------------------------

# A number that can be a rating: "4", "3.5"; not "1995", "25-34", "3rd" or "50%"
RATING = re.compile(r"(?<![\w.#-])[1-5](?:\.\d+)?(?![\w%]|[.,]\d|-\d)")

# Numbers that are no ratings
NOT_RATING = _any_of(
    r"\b(?:(?:step|hop|chain|neighbour|candidate)s?|user|top|no\.|part|volume|season)"
    r" ?#?\d+",  # "step 2", "chain #1", "top 3"
    r"#\d+",  # "#4"
    r"\bitem ?[12]\b",  # "item 2"
    r"\b(?:above|below|over|under|than|midpoint(?: of)?|threshold(?: of)?) 3\b",  # "above 3"
    r"\b[1-5](?: ?=| means| (?:full |more |shared |common |other )?"
    r"(?:people|(?:point|step|genre|trait|attribute|item|movie|film|book|product|hop|chain|"
    r"user|neighbour|year|time|decade|reason|candidate)s?)\b)",  # "2 genres", "1 more point", "3 ="
)

# Somebody rated something: "gave", "rated", "stars", "the user gives", "they also give"
RATES = _words(
    "gave|given|rated|rates|ratings?|stars?",
    r"(?:user|neighbour|neighbour \d|they|he|she)(?: \w+)? gives?",
)

# A number that somebody worked out: "average", "a sum of", "in all", "score"
COUNTS = _words(
    r"averag\w*|mean|sums?|total|in all|counts?|mentions?|scores?|ranks?",
)

# A bound or a span of ratings, and no rating itself: "at least 4", "4 or more", "1 and 5"
BOUND = _any_of(
    r"\b(?:above|below|over|under|than|at least|at most|up to) [1-5]\b",
    r"\b[1-5] (?:or|and) (?:[1-5]\b|more|less|above|below|better|worse|higher|lower|up)",
)

# --- Verdicts ------------------------------------------------------------------------------------

_LIKE = (
    r"lik(?:ed|es|ing)",  # "liked"
    r"(?:(?<=to )|(?<=l[dl] )|(?<=n['’o]t )|(?<=ly ))like",  # "to like", "will like", "not like"
    r"enjoy\w*|love[ds]?|favou?rabl[ey]",  # "enjoyed", "loves", "favourable"
    r"(?:top|full|perfect|maximum|highest) (?:marks|score|rating)",  # "top marks"
    r"thrilled|delighted|ador\w+",  # "adores"
    r"pleased|positive(?:ly)?|appreciat\w*|satisfied",  # "appreciated"
    r"above[ -]average|high(?:ly)? (?:rating|score|rated)",  # "above average", "highly rated"
    r"(?:rated?|score|think) (?:\w+ )?highly",  # "rated it highly"
)
_NEUTRAL = (
    r"neutral\w*|lukewarm|mixed|average|indifferen\w*|middling|mediocre",  # "indifferent"
    r"ambivalent|moderate(?:ly)?|so-so|okay",  # "moderately"
)
_DISLIKE = (
    r"dislik\w*|hate[ds]?|negative(?:ly)?|unfavou?rabl[ey]|disappoint\w*",  # "dislikes"
    r"(?:lowest|minimum|bottom) (?:marks|score|rating)",  # "lowest score"
    r"displeased|dissatisf\w*|poor(?:ly)?|low (?:rating|score)",  # "a low rating"
    r"unimpressed|averse|below[ -]average",  # "below average"
)

# A verdict, in the group `like`, `neutral` or `dislike`
VERDICT_WORD = _words(
    rf"(?P<like>{'|'.join(_LIKE)})",
    rf"(?P<neutral>{'|'.join(_NEUTRAL)})",
    rf"(?P<dislike>{'|'.join(_DISLIKE)})",
)

# What denies the verdict right after it: "not ", "wouldn't really ", "never quite "
DENIES_NEXT = re.compile(
    r"(?:\b(?:not|never|unlikely|hardly|neither|no)|n[’']t) (?:[\w-]+ ){0,3}$",
    re.IGNORECASE,
)

# --- Candidates ----------------------------------------------------------------------------------

# A candidate's label, in the one group that matched. A and I are words as well: they count where a
# label would stand. So do letters in lower case.
LABEL = _any_of(
    r"\b(?:candidate|label|option)s?\s++[(\"“'‘*]*+([A-Zb-hj-z])\b(?!['’])",  # "candidate b"
    r"(?<![\w\n])\(([a-z])\)",  # "it is (c)"
    r"(?<![\w'’.&/-])(?:([B-HJ-Z])(?![\w'’&/]|\.\w|-\w)"  # "so B"; not "B's", "B-side", "B.C."
    r"|([AI])(?=\s*+(?:[>,:;)=.!?(–—]|-(?!\w)|-?\d|$|"  # "A > B", "A: Heat", "A 4"
    r"(?:is|has|and|or|over|fits|matches|ranks|comes|stands|leads|meets|shares|"  # "A is"
    r"against)\b)))",  # "A against"
    flags=re.NOFLAG,
)

# A bracket that may count the points of a line: "(a)"
LIST_POINT = re.compile(r"(?<!\w)\(([a-z])\)")

# --- Names and attributes ------------------------------------------------------------------------

# A quotation: '"Heat (1995)"', "“Heat”"
QUOTED = re.compile(r"[\"“]([^\"“”\n]{2,120})[\"”]")

# A name in the middle of a sentence, where a capital letter is no accident: "gave Titanic",
# "rated Wizard of Oz". A private character stands for a data text (`marks`).
NAME = re.compile(
    r"(?<=[\w,;’\U000f0000-\U0010fffd] )[*_'‘]*"
    r"([A-Z][\w'’-]+(?: (?:(?:of|the|and|in) )?[A-Z][\w'’-]+)*)"
)

# A common genre; its first three letters are shared by all of its forms: "comedies", "sci-fi"
GENRE = re.compile(
    r"\b(action|adventure|animat(?:ed|ion)|comed(?:y|ies)|crime|documentar(?:y|ies)|drama|"
    r"fantasy|horror|musical(?! instr)|myster(?:y|ies)|noir|roman(?:ce|tic)|"
    r"sci-?fi|science fiction|thriller|war|western)s?\b",
    re.IGNORECASE,
)

# A decade, its digit in the one group that matched: "1990s", "the 90s"
DECADE = re.compile(r"\b(?:1[89]|20)(\d)0s\b|\bthe [’']?(\d)0s\b")

# A year, with the digit of its decade: "1995"
YEAR = re.compile(r"\b(?:1[89]|20)(\d)\d\b")

_COMMON = """
    the this that its her his our you who what and but for with not are was one two three four five
    first second third last next final step chain hop user users target neighbour neighbor
    rating ratings rated rate rank ranking answer candidate candidates item items
    liked like enjoyed loved disliked neutral lukewarm agrees differs then gave best supported
    strongest taken together expect correct true positive shares nothing guide
    all another better comes even evidence lead leads model others people ranks recent soon them
    worse
"""
COMMON_WORDS = frozenset(_COMMON.split())
"""Words that a thought may use for itself. A data text made of nothing else is read as one only in
quotation marks."""

_GENERAL = """
    movie movies film films book books product products genre genres title titles profile history
    recently latest watched bought read interaction chains
"""
GENERAL_WORDS = frozenset(_GENERAL.split())
"""Words of prompts in general: capitalised, they are still no name of an item."""
