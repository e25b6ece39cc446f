"""Sound files and telling pieces of text, which `fuzz.py` damages and joins."""

ODD_BYTES = (
    b"1e400",
    b"-1",
    b"NaN",
    b"null",
    b"\0",
    b"\xff\xfe",  # byte order mark of UTF-16
    b"\xef\xbb\xbf",  # byte order mark of UTF-8
    b"99999999999999999999",
    b"::",
    b"|",
    b"\r\n",
    b'{"a":1,"a":2}',
    b"[" * 200,
    b'"\\ud800"',  # half of a surrogate pair
    b"\xe2\x80\xa8",  # a line separator
    b"A" * 5000,
)
ML_1M = {
    "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": b"1::Toy Story (1995)::Animation|Comedy\n2::Jumanji, The (1995)::Adventure\n",
    "ratings.dat": b"1::1::5::978300760\n1::2::3::978302109\n2::1::4::978301968\n",
}
GENRE_COLUMNS = b"|".join([b"0"] * 18 + [b"1"])
ML_100K = {
    "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
    "u.item": b"1|Toy Story (1995)|01-Jan-1995||http://x|" + GENRE_COLUMNS + b"\n",
    "u.data": b"1\t1\t5\t874965758\n2\t1\t3\t876893171\n",
}
REVIEW = b'{"rating": 5.0, "user_id": "A", "parent_asin": "B1", "timestamp": 1588687728923}\n'
AMAZON = {
    "Toys.jsonl": REVIEW * 2,
    "meta_Toys.jsonl": b'{"parent_asin": "B1", "title": "Pen", "categories": ["Office", "Pens"], '
    b'"store": "X"}\n',
}
MOVIELENS = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4.5,964982703\n2,1,3.0,964981247\n",
    "movies.csv": b'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,"A, b",(none)\n',
}
CSV = {
    "ratings.csv": b"user,item,rating,timestamp\na,x,5,2024-12-31 23:59\nb,x,1,2024-12-30\n",
    "items.csv": b'item,title,genres\nx,"Heat, the film",Crime|Drama\ny,Fargo,\n',
    "users.csv": b"user,age,city\na,31,Oslo\nb,,\n",
}
EVENTS = {
    "events.tsv": b"customer\tsku\tdate\n1\tA-1\t1700000000\n2\tA-2\t1700000001\n",
    "products.tsv": b"sku\tname\tcategory\nA-1\tPen\tOffice\nA-2\tInk\tOffice\n",
}
RECBOLE = {
    "toys.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t4\t9e8\n",
    "toys.item": b"item_id:token\ttitle:token_seq\tclass:token_seq\n2\tToy Story\tComedy Kids\n",
    "toys.user": b"user_id:token\tage:token\n1\t24\n",
}
OWN_NAMES = {  # as conf/dataset/csv.yaml has them
    "ratings": "ratings.*|interactions.*|events.*|reviews.*",
    "items": "items.*|products.*|movies.*|books.*",
    "users": "users.*|customers.*",
}
REPLY = (
    b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Ranking: A > B", '
    b'"reasoning": "well"}}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}'
)
TEMPLATE_PIECES = (
    "{% for a in case.history %}",
    "{% for a in range(99) %}",
    "{% endfor %}",
    "{% if labels %}",
    "{% else %}",
    "{% endif %}",
    "{% include 'mine.j2' %}",
    "{% macro m(a) %}",
    "{% endmacro %}",
    "{% set n = namespace(x=labels) %}",
    "{% set n.x = n.x ~ n.x %}",
    "{{ m(a) }}",
    "{{ labels * 99999 }}",
    "{{ 9 ** 99999 }}",
    "{{ labels.__class__ }}",
    "{{ case.history | join(a) }}",
    "{{ labels | center(9999) | upper }}",
    "{{",
    "}}",
    "{#",
    "{% raw %}",
    "x",
)
RUN_FILES = ("config.yaml", "manifest.json", "metrics.json", "rankings.parquet")
SMALL = (
    "+experiment=smoke",
    "baseline=popularity",
    "evaluation.users=9",
    "dataset.params.users=40",
    "dataset.params.items=60",
    "dataset.params.ratings_per_user=20",
)
PIECES = (
    "Ranking:",
    "Answer:",
    "**",
    "A > B",
    "B, C",
    "</think>",
    "<think>",
    "\n",
    "1. ",
    "- ",
    "Rating: 4",
    '"',
    "Step 1:",
    "Step 2:",
    "Chain 1",
    "neighbour",
    "the user gave",
    "4",
    "liked",
    "candidate B",
    "Heat",
    ">",
    "\u2028",
    "\0",
    "：",
)
OVERRIDE_PREFIXES = ("", "", "", "+", "++", "~")
OVERRIDE_VALUES = (
    "0",
    "-1",
    "1e400",
    "nan",
    "null",
    "true",
    "[]",
    "{}",
    "[a,b]",
    "x",
    "''",
    "${seed}",
    "${nope}",
    "${oc.env:NOPE}",
    "9" * 40,
    "0.5",
    "1",
    "[[[[1]]]]",
    "{a: 1}",
    "${.x}",
    "???",
)
