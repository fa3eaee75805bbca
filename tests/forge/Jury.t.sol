// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check, vm} from "./Vm.sol";

/// @title Juries: who is drawn, and from which block's hash
contract JuryTest is Journeys {
    function startWith(uint16 jury) private {
        IPDFed.Terms memory t = usualTerms();
        (t.jury, t.commitWindow, t.unbonding, t.sunset) = (jury, 10_000, 20_000, 0);
        start(t, 0);
        joinAll(4);
    }

    function vote(uint32 id) private view returns (bytes memory) {
        return abi.encodeCall(IPDFed.commitVote, (id, fed.model(id).bundle, "a vote", ""));
    }

    function notOnJury(uint32 id, uint256 voter) private view returns (bytes memory) {
        return abi.encodeWithSelector(IPDFed.NotOnJury.selector, id, actors[voter]);
    }

    /// @dev A block hash that gives a voter this ticket on a model, of 300.
    function hashFor(uint32 id, uint256 voter, uint256 ticket) private view returns (bytes32 seed) {
        for (uint256 i = 1; uint256(keccak256(abi.encode(seed, id, actors[voter]))) % 300 != ticket; ++i) {
            seed = bytes32(i);
        }
    }

    function test_not_in_the_birth_block() external {
        startWith(1);
        uint32 id = submit(0);
        refused(actors[1], 0, vote(id), abi.encodeWithSelector(IPDFed.JuryNotDrawn.selector, id, height));
    }

    /// @notice Three voters of weight 100 and one juror expected: tickets 0 to 99 of 300 are drawn.
    function test_the_edge_of_the_draw() external {
        startWith(1);
        uint32 id = submit(0);
        vm.setBlockhash(height, hashFor(id, 1, 100));
        height += 1;
        refused(actors[1], 0, vote(id), notOnJury(id, 1));
        id = submit(0);
        vm.setBlockhash(height, hashFor(id, 2, 99));
        height += 1;
        must(actors[2], vote(id));
        Check.equal(fed.ballot(id, actors[2]).weight, 300, "a drawn juror weighs eligible / jury");
    }

    /// @notice Where jury · weight is the eligible weight or more, all vote with their own weight.
    function test_a_jury_of_everyone() external {
        startWith(3);
        uint32 id = submit(0);
        height += 1;
        for (uint256 i = 1; i < 4; ++i) {
            must(actors[i], vote(id));
            Check.equal(fed.ballot(id, actors[i]).weight, 100, "own weight");
        }
        Check.equal(uint256(fed.phase(id)), uint256(IPDFed.Phase.Voting), "with a jury, reveals never open early");
    }

    /// @notice The EVM gives 256 hashes: the submission block's is used as long as it is one of them, then the previous block's.
    function test_the_hash_is_the_birth_blocks_while_it_is_known() external {
        startWith(1);
        for (uint256 age = 256; age <= 257; ++age) {
            uint32 id = submit(0);
            bytes32 drawn = hashFor(id, 1, 7);
            uint256 source = age == 256 ? height : height + age - 1;
            height += age;
            clock();
            vm.setBlockhash(source, drawn);
            must(actors[1], vote(id));
        }
    }

    /// @notice The submission block is stored modulo 2^32: submissions before the overflow and after it.
    function test_block_numbers_beyond_32_bits() external {
        startWith(1);
        for (height = 2 ** 32 - 1; height < 2 ** 32 + 6;) {
            uint32 id = submit(0);
            refused(actors[1], 0, vote(id), abi.encodeWithSelector(IPDFed.JuryNotDrawn.selector, id, height));
            vm.setBlockhash(height, hashFor(id, 1, 7));
            height += 3;
            must(actors[1], vote(id));
        }
    }

    function test_the_first_commit_fixes_the_jury() external {
        startWith(1);
        uint32 id = submit(0);
        vm.setBlockhash(height, hashFor(id, 1, 0));
        height += 1;
        must(actors[1], vote(id));
        for (uint256 i = 2; i < 4; ++i) {
            bool before = act(actors[i], vote(id));
            height += 300;
            Check.that(before || !act(actors[i], vote(id)), "a later block drew another jury");
        }
    }

    /// @notice An overweight jury: two jurors of 300 on 300 eligible share the fee by revealed weight.
    function test_fees_of_an_overweight_jury() external {
        startWith(1);
        uint32 id = 0;
        for (uint256 drawn = 0; drawn < 2;) {
            id = submit(0);
            height += 1;
            drawn = 0;
            for (uint256 i = 1; i < 4; ++i) {
                IPDFed.Score memory score = scoreOf(3);
                bytes32 commitment = fed.voteCommitment(id, actors[i], score, "salt");
                bool on = act(actors[i], abi.encodeCall(IPDFed.commitVote, (id, fed.model(id).bundle, commitment, "")));
                if (on) drawn += 1;
                if (on) secrets[id][actors[i]] = Secret(score, "salt");
            }
        }
        wait(10_000);
        for (uint256 i = 1; i < 4; ++i) {
            if (fed.ballot(id, actors[i]).weight != 0) reveal(i, id);
        }
        wait(50);
        for (uint32 next = 1; next <= id; ++next) {
            for (uint256 i = 1; i < 4; ++i) {
                bool open = fed.ballot(next, actors[i]).state == IPDFed.BallotState.Committed;
                if (open) must(SPONSOR, abi.encodeCall(IPDFed.forfeit, (next, actors[i])));
            }
            settle(next);
        }
        for (uint256 i = 1; i < 4; ++i) {
            if (fed.ballot(id, actors[i]).weight != 0) must(actors[i], abi.encodeCall(IPDFed.claimFees, (ids(id))));
        }
    }
}
