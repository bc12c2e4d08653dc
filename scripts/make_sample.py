"""Write the sample newsroom to data/sample and data/sample.json, with the same bytes every time.

    python scripts/make_sample.py [FOLDER]

The newsroom is invented: articles in six sections and two languages, users with tastes who come in
sessions, the impressions they were shown and their clicks, wire copies of the same story, a bot
that clicks every article, and rows that ingest must reject.
"""

import csv
import gzip
import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints, Mask = NDArray[np.int64], NDArray[np.bool_]
SEED = 20260302
AS_OF = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
DAYS = 5
N_USERS = 2_000
N_SHOWN = 9

# One topic a line: subject | place | person | three details
TOPICS = {
    ("Politics", "en"): """
harbour tunnel | Norhaven | Mayor Ilse Brandt | toll roads | ferry workers | flood gates
school meals law | Westmark | Minister Paul Okoye | canteen cooks | rural schools | sugar limits
voting age reform | Eastvale | Senator Mira Lindqvist | first-time voters | polling stations | civics classes
border rail treaty | Karsund | Ambassador Tomas Reyes | night trains | customs checks | freight yards
rent ceiling | Norhaven | Councillor Dana Petrov | tenants' unions | empty flats | building permits
coal exit date | Ardenfall | Chancellor Ruth Aldana | miners' pensions | wind parks | power lines""",
    ("Economy", "en"): """
battery factory | Ardenfall | Helena Voss | lithium supply | shift workers | export orders
central bank rate | Norhaven | Governor Amir Haddad | mortgage costs | savers | the krone
grain prices | Westmark | Lucia Ferrante | millers | drought in the south | bread makers
container port strike | Karsund | Union leader Joost Meyer | crane drivers | delayed cargo | overtime pay
airline merger | Eastvale | Priya Raman | landing slots | ticket prices | pilots
chip shortage | Ardenfall | Kenji Morita | car makers | foundries | stockpiles""",
    ("Sports", "en"): """
Norhaven Rovers | Norhaven | coach Ben Adeyemi | the title race | a young goalkeeper | injury time
Karsund marathon | Karsund | runner Lena Fischer | coastal wind | the course record | pacemakers
women's handball cup | Westmark | captain Sofia Marques | extra time | the semi-final | a sold-out hall
ice hockey playoffs | Eastvale | goaltender Mika Salonen | overtime | the power play | a broken stick
alpine downhill | Ardenfall | skier Carla Moser | fresh snow | split times | the final gate
velodrome sprint | Norhaven | cyclist Jamal Wright | the last lap | a photo finish | carbon frames""",
    ("Science", "en"): """
lunar water probe | Eastvale | Dr Hana Suzuki | crater ice | a drill failure | the landing site
deep sea coral | Karsund | Dr Marco Silva | warming currents | sonar maps | new species
sleep study | Westmark | Professor Ada Nwosu | night shifts | memory tests | teenagers
malaria vaccine | Norhaven | Dr Elif Kaya | field trials | cold storage | village clinics
fusion reactor | Ardenfall | Dr Petr Novak | plasma records | magnet coils | tritium
bee navigation | Eastvale | Dr Ingrid Dahl | pesticides | waggle dances | meadow strips""",
    ("Culture", "en"): """
opera house reopening | Norhaven | director Clara Weiss | the new organ | ticket queues | acoustics
street art festival | Karsund | painter Leo Duarte | harbour walls | night tours | spray cans
silent film archive | Westmark | curator Nadia Rahal | lost reels | live pianists | restoration
debut novel prize | Eastvale | author Samir Patel | small presses | the shortlist | translators
folk music revival | Ardenfall | fiddler Aoife Byrne | village halls | old recordings | young bands
museum return of masks | Norhaven | curator Kofi Mensah | provenance files | a farewell ceremony | loans""",
    ("Lifestyle", "en"): """
sourdough baking | Westmark | baker Tilda Holm | rye flour | slow rising | home ovens
balcony gardens | Norhaven | gardener Oskar Lund | tomatoes | rain barrels | bees
winter swimming | Karsund | swimmer Greta Nyman | cold shock | saunas | beginners
night train holidays | Eastvale | writer Yusuf Demir | sleeper cabins | mountain stops | packing light
walking for health | Ardenfall | Dr Nora Klein | step counts | blood pressure | office workers
repair cafes | Norhaven | organiser Pim de Vries | broken toasters | spare parts | sewing""",
    ("Politics", "de"): """
Radwegegesetz | Lindenburg | Ministerin Anke Sommer | Parkplätze | Lastenräder | Schulwege
Wasserabgabe | Tannau | Bürgermeister Jens Kröger | Landwirte | Grundwasser | Freibäder
Wahlrechtsreform | Lindenburg | Abgeordnete Selma Öztürk | Direktmandate | Briefwahl | Wahlkreise""",
    ("Economy", "de"): """
Werftenkrise | Hafenstadt | Vorstand Gesa Thomsen | Schiffbauer | Bürgschaften | Windkraftschiffe
Milchpreis | Tannau | Bauer Alois Huber | Molkereien | Futterkosten | Hofläden
Fachkräftemangel | Lindenburg | Kammerchefin Ute Brandl | Lehrlinge | Handwerk | Sprachkurse""",
    ("Sports", "de"): """
SV Lindenburg | Lindenburg | Trainer Uwe Scholz | der Abstiegskampf | ein Elfmeter | die Nachspielzeit
Ruderregatta | Hafenstadt | Schlagmann Timo Beck | Gegenwind | der Achter | die Ziellinie""",
}

HEADLINES = {
    ("Politics", "en"): [
        "{place} splits over {subject}",
        "{person} defends {subject} plan",
        "{a}, {b} and the {subject}",
        "Anger over {subject} grows among {b}",
        "{person} yields on {c}",
        "{subject}: who wins, who pays",
    ],
    ("Economy", "en"): [
        "{subject} weighs on {a}",
        "{person} warns of {c}",
        "{place} pays for {subject}",
        "{b} feel the {subject}",
        "{subject}: {person} sees an end",
        "{subject} moves shares in {place}",
    ],
    ("Sports", "en"): [
        "{person} is ready for {place}",
        "{subject}: drama and {c}",
        "{person} on {a} and nerves",
        "{place} celebrates {subject}",
        "{b} may decide the {subject}",
        "{subject}: a lesson in {a}",
    ],
    ("Science", "en"): [
        "{person} surprised by {subject}",
        "{subject}: {a} hold a clue",
        "{place} team explains {b}",
        "{subject} hits trouble with {c}",
        "{person}: {subject} only a beginning",
        "{subject} in six charts",
    ],
    ("Culture", "en"): [
        "{subject}: a walk with {person}",
        "{place} waits for {subject}",
        "{person} on {a} and the {subject}",
        "Review: {subject} and {b}",
        "Backstage at the {subject}: {c}",
        "Who saved the {subject}",
    ],
    ("Lifestyle", "en"): [
        "{subject} this weekend",
        "{person} on {a} and patience",
        "{b} and other {subject} lessons",
        "{place} falls for {subject}",
        "{subject} for less: {c} and more",
        "{subject}: a first guide",
    ],
}
GERMAN_HEADLINES = [
    "{person} wirbt für {subject}",
    "Streit um {subject} in {place}",
    "{subject}: Sorgen um {a}",
    "{person}: „{b} brauchen Zeit“",
    "{place} blickt auf {subject}",
    "{subject} und {c}: was nun",
]
SENTENCES = [
    "{person} spoke in {place} on {day} about the {subject} and the role of {a}.",
    "For {b}, the {subject} has become the question of the season.",
    "A report of {n} pages lists {c} as the hardest part of the {subject}.",
    "People in {place} have waited {m} years for news of the {subject}.",
    '"Nobody here expected {a} to matter this much," said {person}.',
    "About {n} people came to hear what the {subject} would mean for {b}.",
    "Critics say that {c} were left out when the {subject} was first discussed.",
    "The next step, {person} said, depends on {a} and on {b}.",
    "Numbers seen by this newsroom show that {c} rose by {m} percent in a year.",
    "In {place}, the talk of the {subject} begins early, over coffee, with {a}.",
    "Whether {b} will agree is open; {person} called the mood careful.",
    "The {subject} will be back on the table in {place} next {day}.",
    "Ask anyone near {a} and the answer comes quickly, then a pause.",
    "{person} keeps a notebook in which {c} fill {n} lines.",
    "Two neighbours from {place} disagree about {b}, politely so far.",
    "It began with {a}; it may end with {c}.",
    "An older plan for the {subject}, {m} years back, failed for want of money.",
    '"We counted {n} times," {person} said of {b}, "and still came up short."',
    "Rain fell on {place} while {b} waited outside.",
    "The word most heard this week was {c}.",
    "Experts from abroad have looked at {a} and shrugged.",
    "For now, {place} watches, and {person} does not sleep much.",
    "Letters about the {subject} reach this newsroom at a rate of {m} a day.",
    "Some see in {b} a chance that will not return.",
]
SECTION_SENTENCES = {
    "Politics": "Parliament, ministries and the opposition will read the draft law line by line.",
    "Economy": "Analysts expect companies to pass on the costs, and investors watch the quarter.",
    "Sports": "The match report, the table and the training ground tell the same story.",
    "Science": "The peer-reviewed paper describes the experiment, the data and its limits.",
    "Culture": "On stage and in the gallery, the audience made up its own mind.",
    "Lifestyle": "Try it at home, take your time, and tell a friend how it went.",
}
GERMAN_SENTENCES = [
    "{person} sprach am {day} in {place} über {subject} und über {a}.",
    "Für {b} ist {subject} die wichtigste Frage des Jahres.",
    "Ein Bericht von {n} Seiten nennt {c} als den schwierigsten Teil.",
    "In {place} wartet man seit {m} Jahren auf eine Entscheidung.",
    "„Niemand hat erwartet, dass {a} so viel ausmacht“, sagte {person}.",
    "Rund {n} Menschen kamen, um mehr über {subject} zu hören.",
    "Kritiker sagen, {c} seien zu spät bedacht worden.",
    "Wie es weitergeht, hängt laut {person} von {a} und {b} ab.",
    "Zwei Nachbarn aus {place} streiten über {b}, noch freundlich.",
    "{person} führt ein Heft, in dem {c} schon {n} Zeilen füllen.",
    "Es begann mit {a} und endet vielleicht mit {c}.",
    "Ein älterer Plan scheiterte vor {m} Jahren am Geld.",
    "Das häufigste Wort der Woche lautete: {c}.",
    "Briefe zum Thema {subject} kommen nun täglich, zuletzt {m}.",
]
WEEKDAYS = {
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
    "de": ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag"],
}
# How publishers' systems spell one and the same section.
SPELLINGS = {"Lifestyle": ["Lifestyle", "LIFESTYLE&nbsp", "lifestyle"]}


@dataclass(frozen=True, slots=True)
class Article:
    """An article of the sample.

    Attributes
    ----------
    row
        The article as it is written to the file.
    section, topic, language
        What decides which users click it.
    published_at
        When it was published.
    quality
        How well users like it, whatever their tastes.
    """

    row: dict[str, str]
    section: str
    topic: int
    language: str
    published_at: datetime
    quality: float


def make_articles(rng: np.random.Generator) -> list[Article]:
    """Return the articles, oldest first."""
    articles: list[Article] = []
    topic = -1
    for (section, language), lines in TOPICS.items():
        for line in lines.strip().splitlines():
            topic += 1
            subject, place, person, a, b, c = (part.strip() for part in line.split("|"))
            words = {"subject": subject, "place": place, "person": person, "a": a, "b": b, "c": c}
            german = language == "de"
            headlines = GERMAN_HEADLINES if german else HEADLINES[section, language]
            for headline in headlines:
                articles.append(
                    make_article(rng, section, language, topic, words, headline, len(articles))
                )
    originals = rng.choice(len(articles), 16, replace=False)
    for original in originals.tolist():
        articles.append(wire_copy(rng, articles[original], len(articles)))
    return sorted(articles, key=lambda article: article.published_at)


def make_article(
    rng: np.random.Generator,
    section: str,
    language: str,
    topic: int,
    words: dict[str, str],
    headline: str,
    number: int,
) -> Article:
    """Return one article about a topic.

    Its seven parameters are the columns of its topic and what varies between its articles.
    """

    def filled(text: str) -> str:
        day = WEEKDAYS[language][rng.integers(5)]
        return text.format(**words, n=rng.integers(20, 900), m=rng.integers(2, 40), day=day)

    pool = GERMAN_SENTENCES if language == "de" else SENTENCES
    chosen = [pool[i] for i in rng.permutation(len(pool))[:7]]
    body = [filled(text) for text in chosen]
    if language == "en":
        body.insert(4, SECTION_SENTENCES[section])
    published_at = AS_OF - timedelta(minutes=int(rng.integers(20, DAYS * 24 * 60)))
    spellings = SPELLINGS.get(section, [section])
    title = filled(headline)
    row = {
        "article_id": f"a{number:04d}",
        "title": title[0].upper() + title[1:],
        "body": "\n".join(" ".join(body[i : i + 3]) for i in range(0, len(body), 3)),
        "category": spellings[rng.integers(len(spellings))],
        "author": f"{['Ana', 'Bo', 'Cleo', 'Dov', 'Eva'][rng.integers(5)]} Writer",
        "url": f"https://news.example/{section.lower()}/a{number:04d}",
        "language": language,
        "published_at": published_at.isoformat(),
    }
    return Article(row, section, topic, language, published_at, float(rng.normal()))


def wire_copy(rng: np.random.Generator, original: Article, number: int) -> Article:
    """Return the story as another desk published it: with a new title and most sentences."""
    sentences = original.row["body"].replace("\n", " ").split(". ")
    kept = [sentences[i] for i in sorted(rng.permutation(len(sentences))[: len(sentences) - 1])]
    published_at = min(
        original.published_at + timedelta(minutes=int(rng.integers(15, 240))),
        AS_OF - timedelta(minutes=5),
    )
    row = original.row | {
        "article_id": f"a{number:04d}",
        "title": f"Update: {original.row['title']}",
        "body": ". ".join(kept),
        "url": f"https://news.example/{original.section.lower()}/a{number:04d}",
        "published_at": published_at.isoformat(),
    }
    return Article(
        row, original.section, original.topic, original.language, published_at, original.quality
    )


def draw_taste(
    rng: np.random.Generator, section_of: Ints, topic_of: Ints, is_german: Mask
) -> NDArray[np.float64]:
    """Return how well one user, drawn at random, likes each article for what it is about."""
    likes = rng.dirichlet(np.full(section_of.max() + 1, 0.35))
    taste = 5.0 * likes[section_of]
    taste += 2.0 * np.isin(topic_of, rng.choice(topic_of.max() + 1, 3, replace=False))
    reads_german = rng.random() < 0.2
    taste -= np.where(is_german == reads_german, 0.0, 4.0 if not reads_german else 1.0)
    return taste


def chance_of_liking(appeal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely users click articles that they look at, by taste and quality together."""
    return 1 / (1 + np.exp(3.0 - appeal))


def make_visits(
    rng: np.random.Generator, articles: list[Article]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the impressions and clicks of all users' sessions."""
    sections = sorted({article.section for article in articles})
    section_of = np.array([sections.index(a.section) for a in articles])
    topic_of = np.array([a.topic for a in articles])
    german = np.array([a.language == "de" for a in articles])
    quality = np.array([a.quality for a in articles])
    born = np.array([(AS_OF - a.published_at) / timedelta(hours=1) for a in articles])
    impressions: list[dict[str, object]] = []
    clicks: list[dict[str, object]] = []
    for user in range(N_USERS):
        user_id = f"u{user:04d}"
        taste = draw_taste(rng, section_of, topic_of, german)
        read: set[int] = set()
        for _ in range(rng.poisson(3) + 1):
            ago = float(rng.uniform(0.1, DAYS * 24))
            is_night = (AS_OF - timedelta(hours=ago)).hour < 6  # when few users are awake
            ago -= is_night * rng.uniform(0, 3)
            age = born - max(ago, 0.05)
            live = np.flatnonzero((age > 0) & (age < 60))
            live = live[~np.isin(live, list(read))]
            if len(live) < N_SHOWN:
                continue
            # An editor shows what is new and good, and a little at random.
            draw = 1.5 * quality[live] - age[live] / 12 + rng.gumbel(size=len(live))
            shown = live[np.argsort(-draw)[:N_SHOWN]]
            rng.shuffle(shown)
            appeal = taste[shown] + 0.5 * quality[shown] - 0.15 * np.arange(N_SHOWN)
            is_liked = rng.random(N_SHOWN) < chance_of_liking(appeal)
            picked = shown[is_liked][:3]
            at = AS_OF - timedelta(hours=max(ago, 0.05))
            impressions.append(
                {
                    "user_id": user_id,
                    "shown_at": at.isoformat(),
                    "source": "front_page",
                    "shown": [articles[i].row["article_id"] for i in shown],
                }
            )
            clicked = []
            for article in picked.tolist():
                at += timedelta(seconds=int(rng.integers(5, 60)))
                if at >= AS_OF:
                    break
                dwell = float(rng.lognormal(3.4 + 0.3 * quality[article], 0.7))
                position = int(np.flatnonzero(shown == article)[0]) + 1
                clicks.append(
                    {
                        "user_id": user_id,
                        "article_id": articles[article].row["article_id"],
                        "clicked_at": at.isoformat(),
                        "dwell_seconds": round(dwell, 1),
                        "source": f"front_page:{position}",
                    }
                )
                clicked.append((articles[article].row["article_id"], at))
                read.add(article)
                at += timedelta(seconds=dwell)
            if clicked:
                impressions[-1]["clicked"] = [article_id for article_id, _ in clicked]
                impressions[-1]["clicked_at"] = clicked[0][1].isoformat()
    return impressions, clicks


def bot_clicks(articles: list[Article]) -> list[dict[str, object]]:
    """Return the clicks of a crawler: one every four seconds, on each article twice."""
    start = AS_OF - timedelta(hours=5)
    crawled = [article for article in articles if article.published_at < start] * 2
    return [
        {
            "user_id": "crawler",
            "article_id": article.row["article_id"],
            "clicked_at": (start + timedelta(seconds=4 * i)).isoformat(),
            "dwell_seconds": 0.4,
            "source": "",
        }
        for i, article in enumerate(crawled)
    ]


BAD_CLICKS = [
    b",a0001,2026-03-01T10:00:00+00:00,12.0,front_page:1\n",  # no user
    b"u0001,,2026-03-01T10:00:00+00:00,12.0,front_page:1\n",  # no article
    b"u0001,a0001,yesterday,12.0,front_page:1\n",  # no time
    b"u0001,a0001,2031-01-01T00:00:00+00:00,12.0,front_page:1\n",  # a click in the future
    b"u0001,a0001,2026-03-01T10:00:00+00:00,-3,front_page:1\n",  # negative reading time
    b"u0001,a0001,2026-03-01T10:00:00+00:00\n",  # fields missing
    b"u\xff\xfe,a0001,2026-03-01T10:00:00+00:00,12.0,front_page:1\n",  # not UTF-8
    b"user_id,article_id,clicked_at,dwell_seconds,source\n",  # a header in the middle
]
BAD_ARTICLES = [
    b'{"title": "An article without an id"}\n',
    b'{"article_id": "a9001", "title": "   "}\n',
    b'{"article_id": "a9002", "title": "Half a li\n',
]


def jsonl(rows: list[dict[str, object]]) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_bytes(rows: list[dict[str, object]]) -> bytes:
    """Return rows as CSV with a header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def main() -> None:
    """Write the files of the newsroom to a folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data/sample")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    articles = make_articles(rng)
    impressions, clicks = make_visits(rng, articles)
    clicks = sorted(clicks + bot_clicks(articles), key=lambda row: str(row["clicked_at"]))
    impressions.sort(key=lambda row: str(row["shown_at"]))
    bad = b"".join(BAD_CLICKS)
    about = {"as_of": AS_OF.isoformat(), "seed": SEED, "pages": PAGES}
    written = {
        "articles.jsonl": jsonl([a.row for a in articles]) + b"".join(BAD_ARTICLES),
        "clicks.csv.gz": gzip.compress(csv_bytes(clicks) + bad, mtime=0),
        "impressions.jsonl.gz": gzip.compress(jsonl(impressions), mtime=0),
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
        print(f"{folder / name}: {len(data)} bytes")
    # Beside the folder, because `recsys ingest` reads every file of a folder as data.
    folder.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    print(f"{len(articles)} articles, {len(clicks)} clicks, {len(impressions)} impressions")


# User and article of the pages that `recsys demo` prints.
PAGES = [["u0007", "a0030"]]

if __name__ == "__main__":
    main()
