"""The protocol of secure aggregation: its sums, whoever drops out when, and its arithmetic against other sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product

import numpy as np
import pytest

from federated.transports.secure_aggregation.attendance import Attendance
from federated.transports.secure_aggregation.client import Client
from federated.transports.secure_aggregation.messages import HEADER, Rejected, Step, TooFew
from federated.transports.secure_aggregation.packed import packed, packed_bytes, signed, unpacked
from federated.transports.secure_aggregation.playing import Messages, Played, play
from federated.transports.secure_aggregation.primitives import (
    SIGNATURE_BYTES,
    agreed,
    derived,
    identity_of,
    key_pair_of,
    mask_of,
)
from federated.transports.secure_aggregation.secure_aggregation import secure_aggregation
from federated.transports.secure_aggregation.server import Server
from federated.transports.secure_aggregation.shamir import PRIME, secret_of, shares_of
from federated.transports.secure_aggregation.terms import (
    bits_for,
    doubts_of,
    neighbours_for,
    neighbours_of,
    terms_of,
    threshold_for,
)

BOUND, SIZE = 7, 5
STEPS = (Step.SHARE_KEYS, Step.UPDATE, Step.CONSISTENCY, Step.UNMASK)


def test_shamir_by_hand() -> None:
    """f(x) = 42 + 7x + 3x^2 modulo 97."""
    values = shares_of([42, 7, 3], [1, 2, 3, 4, 5], 97)
    assert values == [52, 68, 90, 21, 55]
    shares = dict(zip(range(1, 6), values, strict=True))
    for three in ((1, 3, 5), (2, 4, 5)):
        assert secret_of({point: shares[point] for point in three}, 97) == 42


def test_shares_are_modulo_the_first_prime_above_all_secrets() -> None:
    def is_prime(number: int) -> bool:  # Miller-Rabin, wrong for one in 4^12
        odd, twos = number - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
            powers = [pow(base, odd << at, number) for at in range(twos)]
            if powers[0] != 1 and number - 1 not in powers:
                return False
        return True

    assert [extra for extra in range(1, 300, 2) if is_prime(2**256 + extra)] == [PRIME - 2**256]


def test_known_answers_of_the_primitives() -> None:
    """AES-256 of zeros (NIST SP 800-38A's cipher); RFC 7748, section 6.1; RFC 5869, test case 3."""
    assert mask_of(bytes(32), 4).tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    secret = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c6ccb1f7d0d5c2d1a8f4b0e5a2c2a")
    other = key_pair_of(bytes(range(32)))
    assert agreed(key_pair_of(secret), other.public) == agreed(other, key_pair_of(secret).public)
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert derived(bytes([11] * 22), b"", 42).hex() == okm


@pytest.mark.parametrize("bits", [3, 8, 23, 32])
def test_integers_are_packed_and_signed(bits: int) -> None:
    numbers = np.random.default_rng(bits).integers(0, 2**bits, 13, np.uint64).astype(np.uint32)
    content = packed(numbers, bits)
    assert len(content) == packed_bytes(13, bits) == -(-13 * bits // 8)
    assert int.from_bytes(content, "big") >> (8 * len(content) - bits) == numbers[0]
    assert np.array_equal(unpacked(content, bits, 13), numbers)
    near = np.array([-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1])
    assert np.array_equal(signed((near % 2**bits).astype(np.uint32), bits), near)


class Round:
    """The parties of a round of clients 10, 11, ..., and what each would send."""

    def __init__(
        self, clients: int, share: float = 0.5, neighbours: int | None = None, done: int = 3, size: int = SIZE
    ) -> None:
        self.cohort = list(range(10, 10 + clients))
        self.terms = terms_of(done, clients, share, neighbours, bits_for(clients, BOUND), size)
        self.graph = neighbours_of(self.cohort, self.terms.neighbours, np.random.default_rng(done))
        self.identities = {client: identity_of(bytes([client] * 32)) for client in self.cohort}
        self.directory = {client: identity.public for client, identity in self.identities.items()}
        self.server = Server(self.terms, self.graph, self.directory, b"model")
        self.clients = {client: self.client(client) for client in self.cohort}
        numbers = np.random.default_rng(1).integers(-BOUND, BOUND + 1, (clients, size))
        self.numbers = dict(zip(self.cohort, numbers, strict=True))

    def client(self, number: int, model: bytes = b"model") -> Client:
        draw = np.random.default_rng([self.terms.done, number]).bytes
        return Client(number, self.terms, self.identities[number], self.directory, model, draw)

    def attendance(self, silent: Mapping[int, Step]) -> Attendance:
        return Attendance(self.terms, self.graph, silent)

    def played(self, silent: Mapping[int, Step], kept: Messages | None = None) -> Played:
        sent = {client: numbers.astype(np.uint32) for client, numbers in self.numbers.items()}
        return play(self.clients, self.server, sent, silent, kept)


def patterns(clients: int, most: int) -> Iterator[dict[int, Step]]:
    """Every way in which at most so many clients drop out, each at any step."""
    for count in range(most + 1):
        for gone in combinations(range(10, 10 + clients), count):
            for steps in product(STEPS, repeat=count):
                yield dict(zip(gone, steps, strict=True))


def check_sum(meeting: Round, silent: Mapping[int, Step]) -> None:
    """The sum is that of all whose update arrived, and the bytes are those foreseen."""
    played = meeting.played(silent)
    heard = meeting.attendance(silent).present(Step.UPDATE)
    expected = np.sum([meeting.numbers[client] for client in heard], axis=0)
    assert np.array_equal(signed(played.total, meeting.terms.bits), expected), silent
    assert bytes_of(played.messages) == meeting.attendance(silent).foreseen()


def bytes_of(messages: Messages) -> tuple[int, ...]:
    return tuple(sum(len(each) for told in way.values() for _, each in told) for way in messages)


def check_given_up(meeting: Round, silent: Mapping[int, Step]) -> None:
    """The server ends the round for too few clients, and the bytes until then are those foreseen."""
    kept = Messages.of(meeting.cohort)
    with pytest.raises(TooFew):
        meeting.played(silent, kept)
    assert bytes_of(kept) == meeting.attendance(silent).foreseen(), silent


def test_the_sum_is_exact_for_every_pattern_of_drop_outs_within_the_threshold() -> None:
    for silent in patterns(4, 1):
        check_sum(Round(4), silent)
    for silent in ({10: first, 12: second} for first, second in product(STEPS, repeat=2)):
        check_sum(Round(5), silent)


def test_too_many_drop_outs_are_an_error_and_never_a_sum() -> None:
    for steps in product(STEPS, repeat=2):
        silent = dict(zip((11, 13), steps, strict=True))
        with pytest.raises(ValueError, match=r"2 are left at step '.*', and 3 are needed"):
            Round(4).attendance(silent).check()
        with pytest.raises(Rejected, match=r"client 1.: of it and its neighbours 2 .*, and 3 are needed"):
            Round(4).played(silent)
        check_given_up(Round(4), silent)


def test_a_sparse_graph_gives_the_same_sums_or_the_foreseen_error() -> None:
    """What is said beforehand of who is left is what happens."""
    numbers, enough = np.random.default_rng(0), 0
    for _ in range(16):
        meeting = Round(12, neighbours=4)
        gone = numbers.choice(meeting.cohort, 4, replace=False)
        silent = {int(client): STEPS[numbers.integers(4)] for client in gone}
        try:
            meeting.attendance(silent).check()
        except ValueError:
            check_given_up(meeting, silent)
        else:
            check_sum(meeting, silent)
            enough += 1
    assert 0 < enough < 16


@pytest.mark.parametrize("degree", [4, 5])
def test_the_graph_is_regular_connected_and_mutual(degree: int) -> None:
    graph = neighbours_of(list(range(5, 25)), degree, np.random.default_rng(0))
    assert all(len(set(near) - {client}) == degree for client, near in graph.items())
    assert all(client in graph[other] for client, near in graph.items() for other in near)
    reached = {5}
    while new := {other for client in reached for other in graph[client]} - reached:
        reached |= new
    assert reached == set(graph)
    assert neighbours_of([1, 2, 3], 2, np.random.default_rng(0)) == {1: (2, 3), 2: (1, 3), 3: (1, 2)}


def test_a_stated_number_of_neighbours_is_one_that_a_graph_can_have() -> None:
    """Seven clients cannot have five each; nor more than there are others."""
    assert [terms_of(0, 7, 0.5, stated, 8, 1).neighbours for stated in (4, 5, 6)] == [4, 6, 6]
    with pytest.raises(ValueError, match="neighbours must be at most 6 in a cohort of 7 clients, got 9"):
        terms_of(0, 7, 0.5, 9, 8, 1)
    assert terms_of(0, 8, 0.5, 5, 8, 1).neighbours == 5
    check_sum(Round(7, neighbours=5), {})
    check_sum(Round(8, neighbours=5), {11: Step.UPDATE})


def test_a_sum_of_fewer_than_three_is_never_opened() -> None:
    """Whatever the threshold: each of two clients reads the other's update from their sum."""
    assert [terms_of(0, clients, 0.5, None, 8, 1).survivors for clients in (3, 4, 5, 6, 7)] == [3, 3, 3, 4, 4]
    transport = secure_aggregation(clip=1, threshold=0.5)
    assert transport.protocol is not None
    assert [transport.protocol.least(clients) for clients in (3, 4, 5, 6, 7)] == [3, 3, 3, 4, 4]
    for step in (Step.SHARE_KEYS, Step.UPDATE):
        with pytest.raises(ValueError, match="of 3 clients 2 are left at step 'update', and 3 are needed"):
            Round(3).attendance({11: step}).check()
        with pytest.raises(Rejected, match="2 updates arrived, and 3 are the fewest"):
            Round(3).played({11: step})
    check_sum(Round(3), {11: Step.CONSISTENCY})  # its update has arrived


def test_the_rule_for_neighbours() -> None:
    """scipy's hypergeometric tails, for 100 clients of whom 20 collude and 10 drop out."""
    from scipy.stats import hypergeom

    chances = {}
    for degree in (32, 34):
        needed = threshold_for(degree, 2 / 3)
        opened = hypergeom(99, 20, degree).sf(needed - 1)
        lacking = hypergeom(99, 89, degree).cdf(needed - 1)
        chances[degree] = 100 * max(opened, lacking)
    assert chances[34] <= 2**-20 < chances[32]
    assert neighbours_for(100, 2 / 3) == 34
    assert doubts_of(100, 2 / 3, 34) == doubts_of(100, 2 / 3, None) == doubts_of(12, 2 / 3, 11) == ""
    opened, lacking = 100 * hypergeom(99, 20, 14).sf(10), 100 * hypergeom(99, 89, 14).cdf(10)
    assert f"a chance of up to {opened:.2g} in each round" in (said := doubts_of(100, 2 / 3, 14))
    assert said.endswith(f"with one of up to {min(1, lacking):.2g}; either is at most 2^-20 with 34")
    assert [terms_of(0, n, 2 / 3, None, 8, 1).neighbours for n in (50, 100, 200)] == [49, 34, 54]
    assert [threshold_for(degree, 2 / 3) for degree in (9, 49, 34)] == [7, 34, 24]


def test_a_masked_vector_alone_is_uniform() -> None:
    """Chi-squared of the packed bytes of each: mean 255, standard deviation 22.6."""
    meeting = Round(4, size=8_192)
    played = meeting.played({})
    for client, numbers in meeting.numbers.items():
        masked = dict(played.messages.up[client])["update"][HEADER.size : -SIGNATURE_BYTES]
        assert _chi_squared(masked) < 255 + 5 * 22.6
        assert _chi_squared(packed(numbers.astype(np.uint32), meeting.terms.bits)) > 1_000


def _chi_squared(content: bytes) -> float:
    counts = np.bincount(np.frombuffer(content, np.uint8), minlength=256)
    return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


def test_modulus_holds_the_largest_sum_and_is_no_larger_than_it_must_be() -> None:
    for clients, bound in ((3, 7), (100, 2**15 - 1), (4, 2**20 - 1)):
        bits = bits_for(clients, bound)
        assert 2 ** (bits - 1) < 2 * clients * bound + 1 <= 2**bits
    with pytest.raises(
        ValueError, match=r"the sum of 600 updates .* needs 33 bits, and 32 are the most; .* bits=22"
    ):
        bits_for(600, 2**22)


def test_cohorts_that_hide_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="a cohort of 2 hides no update; 3 clients are the fewest"):
        terms_of(0, 2, 0.5, None, 8, 1)
    meeting = Round(4)
    hiding_nobody: tuple[dict[str, int], ...] = (
        {"clients": 2, "neighbours": 1},
        {"threshold": 2},
        {"neighbours": 0, "threshold": 1},
        {"survivors": 2},  # two of four
        {"clients": 3, "neighbours": 2, "survivors": 2},
        {"clients": 100, "survivors": 50},
        {"survivors": 5},
    )
    for changed in hiding_nobody:
        meeting = Round(4)
        meeting.terms = meeting.terms._replace(**changed)
        with pytest.raises(Rejected, match="client 10: takes no part: "):
            meeting.client(10)
