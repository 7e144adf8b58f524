"""Seeded strings that hurt tokenizers: odd Unicode, near misses of special tokens, long words.

Nothing here knows the right answer; it only writes questions. No string holds a lone surrogate,
because the reference tokenizer refuses those. The same seed gives the same strings on the same
Python version.
"""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

LAST_CODE_POINT = sys.maxunicode
FIRST_SURROGATE, LAST_SURROGATE = 0xD800, 0xDFFF

# Article 1 of the Universal Declaration of Human Rights, as published by the United Nations.
SENTENCES = (
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İSTANBUL ısı",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах. Ёлка, йод.",
    "Всички хора се раждат свободни и равни по достойнство и права.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ΟΔΥΣΣΕΥΣ ὠδῇ",
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ։",
    "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებით. ᲗᲑᲘᲚᲘᲡᲘ",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. שָׁלוֹם",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. مَرْحَبًا",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। क़ख़ग़",
    "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ น้ำ",
    "མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང༌།",
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。",
    "すべての人間は、生まれながらにして自由であり、ガギグゲゴ パピプペポ ｶﾞｷﾞ。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "The e-mail's 3.14% off, i.e. $9.99 (or £8.50) — don't_wait! <b>x</b> a/b C++ C# ~user@host",
    "café naïve Ångström Ĳ ﬁn ﬃ Ⅷ ½ ① Ｆｕｌｌ　ｗｉｄｔｈ ℌ 𝔘𝔫𝔦 ẞ ß ſ ŉ ǆ ǅ İ ı",
    "👩‍👩‍👧‍👦 👍🏽 🇰🇷 ❤️ ☃︎ 1️⃣ \U0001f9d1\u200d\U0001f4bb zero\u200bwidth soft\u00adhyphen bom\ufeff",
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused993]")
NEAR_MISSES = (
    "[ UNK]", "[UNK", "UNK]", "[[PAD]]", "[unk]", "[UNK ]", "[U\u0301NK]", "[UN\u200bK]",
    "[MASK]s", "[CLS][SEP]", "x[PAD]y", "[PAD]\u0301", "[]", "[", "]", "[[[", "[UNK]]", "［UNK］",
    "[МASK]", "##ing", "##", "# #", "#", "[SEP]##s", "[\x00UNK]", "[unused0", "[unused1]x",
    "[PAD][PAD][PAD]",
)  # fmt: skip

FIXED = (
    "", " ", "  ", "\t", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u1680", "\u180e",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\x00", "\x00\x00", "a\x00",
    "\x00a", "a\x0cb", "a\x0bb", "a\x85b", "\u0301", "\u0301\u0323", "a\u0301\u0323",
    "a\u0323\u0301", "\u0345\u0301", "\u0130", "\u0131", "I\u0307", "\u1e9e", "ß", "ΣΑΣ", "ς",
    "ﬁ", "ﬃ", "ŉ", "ǰ", "\u01c5", "\u01c8", "\u2126", "\u212a", "\u212b", "\u1f80", "\u1f88",
    "\u1fb4", "\u03f4", "\u0390", "\u200d", "\u200c", "\u200b", "a\u200db", "a\u200bb",
    "a\u00adb", "\u2060", "\u034f", "\u061c", "\u0890", "\u08e2", "\U000110cd", "\U00013430",
    "\ufffd", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff", "\ue000", "\uf8ff", "\U000f0000",
    "\U00100000", "\u0378", "\u2fe0", "\U0003fffd", "\u4dff", "\u4e00", "\u9fff", "\ua000",
    "\u3400", "\u4dbf", "\uf900", "\ufaff", "\ufb00", "\U00020000", "\U0002a6df", "\U0002a6e0",
    "\U0002a700", "\U0002b73f", "\U0002b740", "\U0002b81f", "\U0002b820", "\U0002ceaf",
    "\U0002ceb0", "\U0002f800", "\U0002fa1f", "\U0002fa20", "\U00030000", "\u3005", "\u3006",
    "\u3007", "\u3021", "\u3105", "\u31a0", "\u3042", "\u30ac", "\uff76\uff9e", "\uac00",
    "\uac01", "\ud7a3", "\u1100\u1161\u11a8", "\u1100", "\ua960", "\ud7b0", "\u166d",
    "\U000111c9", "€", "©", "°", "×", "〒", "々", "·", "‿", "⸺", "⸿", "𐄀", "𑁇", "$+<=>^|~`", "'",
    "''", "don't", "can''t", "a.b.c", "...", "a" * 99, "a" * 100, "a" * 101, "\u00e9" * 100,
    "\uac01" * 33, "\uac01" * 34, "\u1e9b\u0323", "\u0f73\u0f75", "\u0344", "\u0958", "\u09dc",
    "\u0b5c", "\u0f43", "\u2adc", "\ufb1d", "\ufb2c", "\U0001d15e", "\U0001d1bb", "\U0001109a",
)  # fmt: skip


class MarkPools(NamedTuple):
    """Characters by what the reference normalizer does with them between two letters."""

    kept_non_starters: str
    stripped: str
    barriers: str
    removed: str


def generated_texts(seed: int, count: int) -> list[str]:
    """`count` hostile strings: odd characters, mutated real text, specials, long words."""
    rng = random.Random(f"texts {seed}")
    makers: tuple[Callable[[random.Random], str], ...] = (
        from_pools,
        mutated_sentence,
        with_special_tokens,
        long_words,
        fixed_text,
        at_block_edge,
    )
    kinds = rng.choices(makers, weights=(33, 37, 10, 7, 7, 6), k=count)
    return [make(rng) for make in kinds]


def adversarial_strings(seed: int, count: int) -> list[str]:
    """`count` strings of 1 to 12 code points that try the order of combining marks."""
    rng = random.Random(f"adversarial {seed}")
    pools = (*mark_pools(), "abzAZ09 .\u00e9\u1e69\uac01\u4e00")
    return [_adversarial(rng, pools) for _ in range(count)]


def every_code_point() -> range:
    """All code points, surrogates included: `code_point_texts` leaves those out."""
    return range(LAST_CODE_POINT + 1)


def code_point_texts(points: Sequence[int]) -> list[str]:
    """Each character between two letters, so that deletion, spacing and splitting all show."""
    return [f"a{chr(point)}b" for point in points if not _is_surrogate(point)]


def long_documents(seed: int) -> list[str]:
    """A few texts about as long as 16-bit offsets, with and without places to cut."""
    rng = random.Random(f"long {seed}")
    texts = []
    for n_bytes in (65_000, 65_535, 65_536, 65_537, 131_072, 200_001):
        words = " ".join(mutated_sentence(rng) for _ in range(n_bytes // 60))
        texts.append(words[:n_bytes])
        texts.append("a" * n_bytes)
        texts.append("\u4e00" * (n_bytes // 3))
        texts.append("\u00e9" * (n_bytes // 2) + " end")
        texts.append("a" * (n_bytes - 3) + " \u0301b")
        texts.append("a\u0301" + "\u0323\u0301" * (n_bytes // 4) + "b")
        texts.append("x " * (n_bytes // 2))
        texts.append("." * n_bytes)
        texts.append(" " * n_bytes + "end")
        texts.append("\x00" * n_bytes + "end")
        texts.append("word[UNK]" * (n_bytes // 9))
    return texts


# ---- one string of each kind -------------------------------------------------------------------


def from_pools(rng: random.Random) -> str:
    """Random characters of one to four pools."""
    chosen = rng.sample(_pools(), k=rng.randint(1, 4))
    length = rng.choice((1, 2, 3, 5, 8, 13, 21, 34, 55))
    return "".join(rng.choice(rng.choice(chosen)) for _ in range(rng.randint(1, length)))


def mutated_sentence(rng: random.Random) -> str:
    """A real sentence with one to ten small injuries."""
    text = rng.choice(SENTENCES)
    if rng.random() < 0.5:
        start = rng.randrange(len(text))
        text = text[start : start + rng.randint(1, 60)]
    for _ in range(rng.randint(1, 10)):
        text = rng.choice(_MUTATIONS)(rng, text)
    return text


def with_special_tokens(rng: random.Random) -> str:
    """Special tokens and what nearly is one, among words and odd characters."""
    parts = []
    for _ in range(rng.randint(1, 6)):
        roll = rng.random()
        if roll < 0.4:
            parts.append(rng.choice(SPECIAL))
        elif roll < 0.75:
            parts.append(rng.choice(NEAR_MISSES))
        elif roll < 0.9:
            parts.append(rng.choice(rng.choice(SENTENCES).split() or ["a"]))
        else:
            parts.append(from_pools(rng))
    return rng.choice(("", " ", "  ", "\u0301", "\u3000")).join(parts)


def long_words(rng: random.Random) -> str:
    """One to three words whose lengths lie about the engine's key and word limits."""
    words = []
    for _ in range(rng.randint(1, 3)):
        length = rng.choice(
            (15, 16, 17, 31, 32, 33, 33, 34, 50, 51, 63, 64, 65, 99, 100, 101, 102, 150, 200)
        )
        alphabet = rng.choice(_LONG_WORD_ALPHABETS)
        word = "".join(rng.choices(alphabet, k=length))
        if rng.random() < 0.5:
            place = rng.choice((0, len(word) // 2, len(word)))
            word = word[:place] + rng.choice(("\x00", "\u0301", "\u0323", "\u08d4")) + word[place:]
        words.append(word)
    return rng.choice((" ", "", ".", "\u3000")).join(words)


def fixed_text(rng: random.Random) -> str:
    """One of the known trouble makers, alone or between words."""
    text = rng.choice(FIXED)
    shape = rng.random()
    if shape < 0.4:
        return text
    if shape < 0.7:
        return f"{rng.choice(FIXED)}{text}{rng.choice(FIXED)}"
    return f"the {text} and{text}of {text.upper()}"


def at_block_edge(rng: random.Random) -> str:
    """ASCII text of about a vector block's length, then something that is not."""
    block = rng.choice((16, 32, 64, 128, 192, 256))
    filler = "".join(rng.choices("abcdefg etaoin ETAOIN .,'-\n\t", k=block + 4))
    cut = max(0, block + rng.randint(-4, 4))
    odd = rng.choice((from_pools, with_special_tokens, long_words, fixed_text))(rng)
    return filler[:cut] + odd + filler[: rng.choice((0, 0, 5, 40, 70))]


# ---- pools -------------------------------------------------------------------------------------


@cache
def mark_pools() -> MarkPools:
    """Marks and removed characters as the reference normalizer treats them.

    The reference is asked because its Unicode tables are older than any Python's: newer marks are
    kept, and a kept mark still takes part in canonical reordering.
    """
    from tokenizers import normalizers

    bert = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    clean = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
    )
    decompose = normalizers.NFD()
    kept, stripped, barriers, removed = [], [], [], []
    for point in every_code_point():
        character = chr(point)
        if unicodedata.category(character)[0] not in "MC" or _is_surrogate(point):
            continue
        if point > 0x2FFFF and unicodedata.category(character) != "Cf":
            continue  # hundreds of thousands of unassigned and private ones; `_pools` has them
        if bert.normalize_str(f"a{character}b") == "ab":
            if clean.normalize_str(f"a{character}b") == "ab":
                removed.append(character)
            elif _is_reordered(decompose.normalize_str, decompose.normalize_str(character)[0]):
                stripped.append(character)
            else:
                barriers.append(character)
        elif _is_reordered(decompose.normalize_str, character):
            kept.append(character)
    return MarkPools("".join(kept), "".join(stripped), "".join(barriers), "".join(removed[:400]))


def _is_reordered(decompose: Callable[[str], str], mark: str) -> bool:
    # U+0345 has the highest class (240), U+0334 the lowest (1): a non-starter moves past one
    before, after = f"x\u0345{mark}", f"x{mark}\u0334"
    return decompose(before) != before or decompose(after) != after


@cache
def _pools() -> tuple[str, ...]:
    def span(*bounds: int) -> str:
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        return "".join(chr(p) for low, high in pairs for p in range(low, high + 1))

    by_kind: dict[str, list[str]] = {}
    decomposable: list[str] = []
    for point in range(0x20000):
        if _is_surrogate(point):
            continue
        character = chr(point)
        kind = unicodedata.category(character)
        by_kind.setdefault(kind, []).append(character)
        if unicodedata.decomposition(character) or character.lower() != character:
            decomposable.append(character)
    kinds = {kind: "".join(found) for kind, found in by_kind.items()}
    noncharacters = span(0xFDD0, 0xFDEF) + "".join(
        chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)
    )
    return (
        span(0x20, 0x7E),
        span(0x00, 0xFF),
        span(0x100, 0x24F, 0x1E00, 0x1EFF),
        span(0x370, 0x3FF, 0x1F00, 0x1FFF),
        span(0x400, 0x52F, 0x10A0, 0x10FF, 0x1C90, 0x1CBF),
        span(0x590, 0x6FF, 0x8A0, 0x8FF),
        span(0x900, 0xD7F),
        span(0xE00, 0xFFF, 0x1780, 0x17FF),
        kinds["Mn"],
        kinds["Mc"] + kinds["Me"],
        kinds["Po"]
        + kinds["Pd"]
        + kinds["Ps"]
        + kinds["Pe"]
        + kinds["Pc"]
        + kinds["Pi"]
        + kinds["Pf"],
        kinds["Sm"] + kinds["Sc"] + kinds["Sk"] + kinds["So"],
        (kinds["Zs"] + kinds["Zl"] + kinds["Zp"] + "\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85") * 2,
        kinds["Cc"] + kinds["Cf"],
        mark_pools().kept_non_starters,
        "".join(decomposable),
        span(0x3040, 0x312F, 0x31F0, 0x31FF, 0x3000, 0x303F),
        span(0x4E00, 0x4EFF, 0x9FF0, 0xA00F, 0x3400, 0x3410, 0x20000, 0x20010, 0x2B738, 0x2B825)
        + span(0x2A6D8, 0x2A708, 0x2CEA0, 0x2CEB8, 0x30000, 0x30010),
        span(0xAC00, 0xACFF, 0x1100, 0x11FF, 0xA960, 0xA97F, 0xD7A0, 0xD7FF),
        span(0xF900, 0xFB4F, 0xFE00, 0xFFEF, 0x2F800, 0x2FA2F),
        span(0x1F300, 0x1F64F, 0x1F900, 0x1F9FF, 0x2600, 0x27BF, 0x1F1E6, 0x1F1FF, 0xFE0E, 0xFE0F)
        + "\u200d" * 40,
        span(0xE000, 0xE100, 0xF0000, 0xF0010, 0x10FFF0, 0x10FFFD),
        noncharacters,
        kinds["Cn"],
        span(0x10000, 0x13FFF),
        "".join(chr(plane << 16 | low) for plane in range(17) for low in range(0, 0xD800, 97)),
    )


_LONG_WORD_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "etaoin",
    "abcABC",
    "абвгдежзийклмн",
    "가각갂값힣",
    "あいうえおがぎぐ",
    "áéíóúàèñ",
    "日本語東京",
    "αβγδεζΑΒΓ",
    "a\u0301",
)


def _adversarial(rng: random.Random, pools: Sequence[str]) -> str:
    characters = []
    for _ in range(rng.randint(1, 12)):
        if rng.random() < 0.12:
            point = rng.randrange(LAST_CODE_POINT + 1 - 0x800)
            characters.append(chr(point if point < FIRST_SURROGATE else point + 0x800))
        else:
            characters.append(rng.choice(rng.choice(pools)))
    return "".join(characters)


def _is_surrogate(point: int) -> bool:
    return FIRST_SURROGATE <= point <= LAST_SURROGATE


# ---- mutations ---------------------------------------------------------------------------------


def _insert(rng: random.Random, text: str, piece: str) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + piece + text[place:]


def _insert_odd(rng: random.Random, text: str) -> str:
    return _insert(rng, text, rng.choice(rng.choice(_pools())))


def _insert_marks(rng: random.Random, text: str) -> str:
    pools = mark_pools()
    marks = [rng.choice(rng.choice(pools)) for _ in range(rng.choice((1, 2, 3, 5, 70)))]
    return _insert(rng, text, "".join(marks))


def _insert_special(rng: random.Random, text: str) -> str:
    return _insert(rng, text, rng.choice(rng.choice((SPECIAL, NEAR_MISSES, FIXED))))


def _delete(rng: random.Random, text: str) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + text[place + rng.randint(1, 3) :]


def _repeat(rng: random.Random, text: str) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + text[place : place + 4] * rng.randint(2, 9) + text[place + 4 :]


def _respace(rng: random.Random, text: str) -> str:
    spaces = ("", "  ", "\n", "\t", "\xa0", "\u3000", "\u200b", "\x00", "\u2028", "\x0b", "-", "_")
    return text.replace(" ", rng.choice(spaces), rng.randint(1, 4))


def _recase(rng: random.Random, text: str) -> str:
    return rng.choice((str.upper, str.title, str.swapcase, str.lower))(text)


def _recompose(rng: random.Random, text: str) -> str:
    if rng.random() < 0.7:
        return unicodedata.normalize(rng.choice(("NFC", "NFD")), text)
    return unicodedata.normalize(rng.choice(("NFKC", "NFKD")), text)


_MUTATIONS: tuple[Callable[[random.Random, str], str], ...] = (
    _insert_odd,
    _insert_odd,
    _insert_marks,
    _insert_special,
    _delete,
    _repeat,
    _respace,
    _recase,
    _recompose,
)
