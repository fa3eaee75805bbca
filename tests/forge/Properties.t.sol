// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {GhostMath} from "./GhostMath.sol";
import {Journeys} from "./Journeys.sol";
import {Check, vm} from "./Vm.sol";

/// @title Invariants that compare one game with another
contract PropertiesTest is Journeys {
    function dueTerms() private pure returns (IPDFed.Terms memory t) {
        t = usualTerms();
        (t.quorum, t.minGain) = (1, 1);
    }

    /// @dev Five voters (the misbehaving one, too) with these stakes vote on a model of actor 0, but those whose bit in
    /// `silent` is set. Reveals in order, or backwards.
    function gainOf(int256[5] memory gains, uint256[5] memory stakes, bool backwards, uint256 silent)
        private
        returns (int256)
    {
        start(dueTerms(), 10e18);
        join(0, 1e18);
        for (uint256 i = 0; i < 5; ++i) {
            join(i + 1, stakes[i]);
        }
        wait(1);
        uint32 id = submit(0);
        wait(1);
        for (uint256 i = 0; i < 5; ++i) {
            if (silent >> i & 1 == 0) commit(i + 1, id, gains[i]);
        }
        if (silent != 0) wait(terms.commitWindow);
        for (uint256 i = 0; i < 5; ++i) {
            uint256 voter = backwards ? 4 - i : i;
            if (silent >> voter & 1 == 0) reveal(voter + 1, id);
        }
        settle(id);
        return fed.model(id).gain;
    }

    function drawn(uint256 luck) private pure returns (int256[5] memory gains, uint256[5] memory stakes) {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 own = uint256(keccak256(abi.encode(luck, i)));
            gains[i] = int256(own % 128) - 64;
            stakes[i] = 1e18 + (own >> 8) % 3e18;
        }
    }

    function testFuzz_11_the_median_does_not_depend_on_the_order(uint256 luck) external {
        (int256[5] memory gains, uint256[5] memory stakes) = drawn(luck);
        uint256 silent = luck >> 240 & 1 == 0 ? 0 : luck >> 241 & 15;
        int256 forwards = gainOf(gains, stakes, false, silent);
        Check.equal(gainOf(gains, stakes, true, silent), forwards, "11: the order of reveals moves the gain");
    }

    /// @notice Two of five collude, and weigh less than the honest three, of whom some may be silent.
    function testFuzz_12_a_minority_cannot_raise_the_gain(uint256 luck) external {
        (int256[5] memory gains, uint256[5] memory stakes) = drawn(luck);
        (stakes[3], stakes[4]) = (1e18, 1e18);
        uint256 silent = luck >> 240 & 1 == 0 ? 0 : luck >> 241 & 7;
        int256 low = 63;
        int256 high = -64;
        for (uint256 i = 0; i < 3; ++i) {
            if (silent >> i & 1 == 1) continue;
            if (gains[i] < low) low = gains[i];
            if (gains[i] > high) high = gains[i];
        }
        int256 gain = gainOf(gains, stakes, false, silent);
        Check.that(gain <= high, "12: a minority raised the gain above the honest votes");
        Check.that(silent != 0 || low <= gain, "12: a minority lowered the gain below the honest votes");
    }

    /// @notice A stake of three, or three of one: the same gain, and the same fees (± 3 wei).
    function testFuzz_15_splitting_a_stake_gains_nothing(uint256 luck) external {
        IPDFed.Terms memory t = dueTerms();
        int256 hostile = int256(luck % 128) - 64;
        int256 honest = int256(luck / 128 % 128) - 64;
        uint256[2] memory fees;
        int256[2] memory gains;
        for (uint256 split = 0; split < 2; ++split) {
            start(t, 10e18);
            join(0, 1e18);
            join(1, 2e18 + luck % 3e18);
            uint256 identities = split == 0 ? 1 : 3;
            for (uint256 i = 0; i < identities; ++i) {
                join(2 + i, 3e18 / identities);
            }
            wait(1);
            uint32 id = submit(0);
            wait(1);
            for (uint256 i = 0; i <= identities; ++i) {
                commit(1 + i, id, i == 0 ? honest : hostile);
            }
            for (uint256 i = 0; i <= identities; ++i) {
                reveal(1 + i, id);
            }
            settle(id);
            gains[split] = fed.model(id).gain;
            for (uint256 i = 0; i < identities; ++i) {
                must(actors[2 + i], abi.encodeCall(IPDFed.claimFees, (actors[2 + i], ids(id))));
                fees[split] += fed.credit(actors[2 + i]);
            }
        }
        Check.equal(gains[0], gains[1], "15: splitting moved the gain");
        Check.that(fees[0] - fees[1] <= 3, "15: splitting moved the fees");
    }

    /// @notice Two games that differ in the parents named end with the same books.
    function testFuzz_16_parents_move_no_wei(uint256 luck) external {
        bytes[2] memory books;
        for (uint256 padded = 0; padded < 2; ++padded) {
            start(usualTerms(), 10e18);
            joinAll(6);
            for (uint256 round = 0; round < 4; ++round) {
                advanceFrom(round, int256(luck >> (8 * round) & 15) + 2, padded == 1);
            }
            books[padded] = abi.encode(fed.ledger(), fed.credit(actors[0]), fed.credit(actors[1]), fed.credit(actors[2]));
        }
        Check.equal(books[1], books[0], "16: parents moved money");
    }

    function advanceFrom(uint256 author, int256 steps, bool padded) private {
        uint32[] memory parents = new uint32[](padded ? fed.modelCount() + 1 : 1);
        for (uint32 i = 0; i < parents.length; ++i) {
            parents[i] = i;
        }
        uint32 id = fed.modelCount() + 1;
        must(actors[author], terms.submissionFee, abi.encodeCall(IPDFed.submit, (keccak256(abi.encode(id)), parents)));
        for (uint256 i = 0; i < 6; ++i) {
            if (i != author) commit(i, id, steps);
        }
        for (uint256 i = 0; i < 6; ++i) {
            if (i != author) reveal(i, id);
        }
        settle(id);
        if (id > 1) must(actors[author], abi.encodeCall(IPDFed.claimRoyalties, (ids(id - 1))));
    }

    /// @notice 11: any two scores land in the bucket that the table of edges gives, at the edges too.
    function testFuzz_11_buckets_at_their_edges(uint256 luck) external {
        start(dueTerms(), 0);
        joinAll(2);
        wait(1);
        for (uint256 i = 0; i < 8; ++i) {
            uint256 own = uint256(keccak256(abi.encode(luck, i)));
            uint64 qn = uint64(1 + (own >> 16) % 2 ** (1 + own % 63));
            uint256 wanted = 1 + (own >> 8) % 127;
            uint256 edge = GhostMath.baselineFor(qn, wanted);
            oneVote(qn, uint64(edge));
            if (edge > 1) oneVote(qn, uint64(edge - 1));
            oneVote(qn, uint64(1 + (own >> 90) % type(uint64).max));
        }
    }

    function oneVote(uint64 qn, uint64 baselineQn) private {
        uint32 id = submit(0);
        wait(1);
        IPDFed.Score memory score = IPDFed.Score(qn, baselineQn, 0);
        bytes32 commitment = fed.voteCommitment(id, actors[1], score, "salt");
        must(actors[1], commitCall(id, commitment));
        must(actors[1], abi.encodeCall(IPDFed.revealVote, (id, actors[1], score, "salt")));
        same(abi.encodeCall(IPDFed.histogram, (id)));
    }
}
