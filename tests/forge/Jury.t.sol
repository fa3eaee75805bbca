// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check} from "./Vm.sol";

/// @title Juries: who is drawn, when, and from which block's randomness
contract JuryTest is Journeys {
    function startWith(uint16 jury) private {
        IPDFed.Terms memory t = usualTerms();
        (t.jury, t.commitWindow, t.revealWindow, t.unbonding, t.sunset) = (jury, 10_000, 2500, 20_000, 0);
        start(t, 0);
        joinAll(4);
    }

    function vote(uint32 id) private view returns (bytes memory) {
        return commitCall(id, "a vote");
    }

    function draw(uint32 id) private pure returns (bytes memory) {
        return abi.encodeCall(IPDFed.drawJury, (id));
    }

    function notDrawn(uint32 id, uint256 from) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IPDFed.JuryNotDrawn.selector, id, from);
    }

    function notOnJury(uint32 id, uint256 voter) private view returns (bytes memory) {
        return abi.encodeWithSelector(IPDFed.NotOnJury.selector, id, actors[voter]);
    }

    /// @dev A seed that gives a voter this ticket on a model, of 300.
    function seedFor(uint32 id, uint256 voter, uint256 ticket) private view returns (bytes32 seed) {
        seed = bytes32(uint256(1));
        while (uint256(keccak256(abi.encode(seed, id, actors[voter]))) % 300 != ticket) {
            seed = bytes32(uint256(seed) + 1);
        }
    }

    /// @notice 29: a minute must pass, for those who are always on the jury, too; a block in it changes nothing.
    function test_29_not_in_the_first_minute() external {
        startWith(3);
        uint32 id = submit(0);
        uint256 from = time + 60;
        refused(actors[1], 0, vote(id), notDrawn(id, from));
        wait(59);
        refused(actors[1], 0, vote(id), notDrawn(id, from));
        refused(SPONSOR, 0, draw(id), notDrawn(id, from));
        wait(1);
        must(actors[1], vote(id));
    }

    /// @notice 29: whoever comes first draws, and nobody draws again.
    function test_29_anyone_draws_once() external {
        startWith(1);
        uint32 id = submit(0);
        wait(60);
        chosen = seedFor(id, 1, 7);
        must(SPONSOR, draw(id));
        chosen = seedFor(id, 1, 207);
        height += 1;
        must(SPONSOR, draw(id));
        must(actors[1], vote(id));
        Check.equal(fed.ballot(id, actors[1]).weight, 300, "drawn by the first seed");
        wait(9940);
        bytes memory reason = abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Revealing);
        refused(SPONSOR, 0, draw(id), reason);
        refused(SPONSOR, 0, draw(id + 1), abi.encodeWithSelector(IPDFed.UnknownModel.selector, id + 1));
    }

    /// @notice A draw is no sign of life: it counts for no node.
    function test_a_draw_is_no_activity() external {
        startWith(3);
        heardWithout(0);
        uint32 id = submit(1);
        wait(60);
        must(actors[0], draw(id));
        wait(terms.unbonding);
        must(actors[1], abi.encodeCall(IPDFed.retire, (actors[0])));
    }

    function test_without_a_jury_nothing_is_drawn() external {
        start(usualTerms(), 0);
        joinAll(2);
        uint32 id = submit(0);
        wait(60);
        refused(actors[1], 0, draw(id), notDrawn(id, 0));
    }

    /// @notice Three voters of weight 100 and one juror expected: tickets 0 to 99 of 300 are drawn.
    function test_the_edge_of_the_draw() external {
        startWith(1);
        uint32 id = submit(0);
        wait(60);
        chosen = seedFor(id, 1, 100);
        must(SPONSOR, draw(id));
        refused(actors[1], 0, vote(id), notOnJury(id, 1));
        id = submit(0);
        wait(60);
        chosen = seedFor(id, 2, 99);
        must(actors[2], vote(id));
        Check.equal(fed.ballot(id, actors[2]).weight, 300, "a drawn juror weighs eligible / jury");
    }

    /// @notice Where jury · weight is the eligible weight or more, all vote with their own weight.
    function test_a_jury_of_everyone() external {
        startWith(3);
        uint32 id = submit(0);
        wait(60);
        for (uint256 i = 1; i < 4; ++i) {
            must(actors[i], vote(id));
            Check.equal(fed.ballot(id, actors[i]).weight, 100, "own weight");
        }
        Check.equal(uint256(fed.phase(id)), uint256(IPDFed.Phase.Voting), "with a jury, reveals never open early");
    }

    /// @notice A juror that is refused does not draw: the next block's randomness does.
    function test_a_refused_commit_draws_nothing() external {
        startWith(1);
        uint32 id = submit(0);
        wait(60);
        chosen = seedFor(id, 1, 207);
        refused(actors[1], 0, vote(id), notOnJury(id, 1));
        chosen = seedFor(id, 1, 7);
        height += 1;
        must(actors[1], vote(id));
    }

    /// @notice 29: the first commit fixes the jury as a draw does.
    function test_29_the_first_commit_fixes_the_jury() external {
        startWith(1);
        uint32 id = submit(0);
        wait(60);
        chosen = seedFor(id, 1, 0);
        must(actors[1], vote(id));
        chosen = 0;
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
            wait(60);
            drawn = 0;
            for (uint256 i = 1; i < 4; ++i) {
                IPDFed.Score memory score = scoreOf(3);
                bytes32 commitment = fed.voteCommitment(id, actors[i], score, "salt");
                bool on = act(actors[i], commitCall(id, commitment));
                if (on) drawn += 1;
                if (on) secrets[id][actors[i]] = Secret(score, "salt");
            }
        }
        wait(10_000);
        for (uint256 i = 1; i < 4; ++i) {
            if (fed.ballot(id, actors[i]).weight != 0) reveal(i, id);
        }
        wait(2500);
        for (uint32 next = 1; next <= id; ++next) {
            for (uint256 i = 1; i < 4; ++i) {
                bool open = fed.ballot(next, actors[i]).state == IPDFed.BallotState.Committed;
                if (open) must(SPONSOR, abi.encodeCall(IPDFed.forfeit, (next, actors[i])));
            }
            settle(next);
        }
        Check.equal(fed.model(id).gain, 3, "25: the median is of the revealed weight where it is more than the eligible");
        for (uint256 i = 1; i < 4; ++i) {
            bool votes = fed.ballot(id, actors[i]).weight != 0;
            if (votes) must(actors[i], abi.encodeCall(IPDFed.claimFees, (actors[i], ids(id))));
        }
    }
}
