"""Codes of languages, told equal across ISO 639-1, ISO 639-3 and regions.

The one rule: a code is shown as the set writes it; only comparing goes by what it means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# ISO 639-1 and the ISO 639-3 (639-2/T) code of the same language.
_PAIRS = """
aa aar ab abk ae ave af afr ak aka am amh an arg ar ara as asm av ava ay aym az aze ba bak be bel
bg bul bh bih bi bis bm bam bn ben bo bod br bre bs bos ca cat ce che ch cha co cos cr cre cs ces
cu chu cv chv cy cym da dan de deu dv div dz dzo ee ewe el ell en eng eo epo es spa et est eu eus
fa fas ff ful fi fin fj fij fo fao fr fra fy fry ga gle gd gla gl glg gn grn gu guj gv glv ha hau
he heb hi hin ho hmo hr hrv ht hat hu hun hy hye hz her ia ina id ind ie ile ig ibo ii iii ik ipk
io ido is isl it ita iu iku ja jpn jv jav ka kat kg kon ki kik kj kua kk kaz kl kal km khm kn kan
ko kor kr kau ks kas ku kur kv kom kw cor ky kir la lat lb ltz lg lug li lim ln lin lo lao lt lit
lu lub lv lav mg mlg mh mah mi mri mk mkd ml mal mn mon mr mar ms msa mt mlt my mya na nau nb nob
nd nde ne nep ng ndo nl nld nn nno no nor nr nbl nv nav ny nya oc oci oj oji om orm or ori os oss
pa pan pi pli pl pol ps pus pt por qu que rm roh rn run ro ron ru rus rw kin sa san sc srd sd snd
se sme sg sag sh hbs si sin sk slk sl slv sm smo sn sna so som sq sqi sr srp ss ssw st sot su sun
sv swe sw swa ta tam te tel tg tgk th tha ti tir tk tuk tl tgl tn tsn to ton tr tur ts tso tt tat
tw twi ty tah ug uig uk ukr ur urd uz uzb ve ven vi vie vo vol wa wln wo wol xh xho yi yid yo yor
za zha zh zho zu zul
""".split()
# Standard varieties that stand for the language as a whole.
_VARIETIES = """
zh cmn ar arb fa pes sw swh ms zsm et ekk lv lvs uz uzn ne npi or ory az azj mn khk mg plt ps pbt
ku kmr
""".split()
# Regions that are also codes of languages, as written in lower case.
_REGIONS = frozenset(
    "pt-br zh-tw fr-ca fr-be fr-ch de-be de-ch it-ch nl-be es-ar es-cr es-sv es-gt es-ve sr-ba "
    "hr-ba ms-my ar-sa ar-lb ar-tn ar-ae ar-ly en-ca en-za en-ie en-in en-sg".split()
)

_BY_LONG = dict(zip(_PAIRS[1::2], _PAIRS[::2], strict=True)) | dict(
    zip(_VARIETIES[1::2], _VARIETIES[::2], strict=True)
)
_KNOWN = frozenset(_PAIRS[::2]) | _BY_LONG.keys()
_SEPARATOR = re.compile(r"[-_]")


def languages_in(code: str) -> tuple[str, ...]:
    """The language of a code, or both of a pair: ISO 639-1 where there is such a code.

    ```python
    >>> languages_in("kor"), languages_in("zh-CN"), languages_in("en-ko")
    (('ko',), ('zh',), ('en', 'ko'))

    ```
    """
    parts = _SEPARATOR.split(code.strip())
    if len(parts) == 2 and _is_pair(*parts):
        return _short(parts[0].lower()), _short(parts[1].lower())
    return (_short(parts[0].lower()),)


def language_pair(name: str) -> str | None:
    """Both codes of a name such as "en_ko", as "en-ko"; None if it is something else."""
    parts = _SEPARATOR.split(name)
    return "-".join(parts) if len(parts) == 2 and _is_pair(*parts) else None


def is_of(code: str, wanted: Iterable[str]) -> bool:
    """Whether a task of language `code` is of one of the `wanted` languages or pairs.

    A pair is of both its languages; English, the usual other side, counts only alone.
    """
    found = set(languages_in(code))
    single = found if len(found) == 1 else found - {"en"}
    return any(
        found == chosen or (len(chosen) == 1 and chosen <= single)
        for chosen in (set(languages_in(each)) for each in wanted)
    )


def _is_pair(first: str, second: str) -> bool:
    """Whether two parts of a code are two languages, not a language and its region."""
    if second.isupper() or f"{first}-{second}".lower() in _REGIONS:
        return False
    known = {first.lower(), second.lower()} <= _KNOWN
    return known and _short(first.lower()) != _short(second.lower())


def _short(code: str) -> str:
    return _BY_LONG.get(code, code)
