// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check} from "./Vm.sol";

/// @title Votes that are refused, each for its own reason
contract VotesTest is Journeys {
    function born() private returns (uint32 id) {
        start(usualTerms(), 10e18);
        joinAll(4);
        id = submit(0);
        wait(1);
    }

    function commitment(uint32 id, uint256 voter) private view returns (bytes memory) {
        return commitCall(id, bytes32(voter));
    }

    function lateVote(uint32 id) private view returns (bytes memory) {
        return abi.encodeCall(IPDFed.lateVote, (id, fed.model(id).bundle, scoreOf(0)));
    }

    function test_6_a_bundle_is_submitted_once_by_an_author() external {
        born();
        bytes32 bundle = fed.model(1).bundle;
        bytes memory again = abi.encodeCall(IPDFed.submit, (bundle, new uint32[](1)));
        bytes memory reason = abi.encodeWithSelector(IPDFed.AlreadySubmitted.selector, actors[0], bundle);
        refused(actors[0], terms.submissionFee, again, reason);
        must(actors[1], terms.submissionFee, again);
    }

    /// @notice 33: after a reorg, a vote on another model, or against another baseline, fails.
    function test_33_a_vote_names_the_model_it_means() external {
        born();
        wait(99);
        settle(1);
        advance(1, 30);
        uint32 id = submit(0);
        wait(1);
        bytes32 bundle = fed.model(id).bundle;
        bytes memory reason = abi.encodeWithSelector(IPDFed.BundleMismatch.selector, id, bundle, bytes32("other"));
        refused(actors[1], 0, abi.encodeCall(IPDFed.commitVote, (id, "other", 0, "", "")), reason);
        reason = abi.encodeWithSelector(IPDFed.BaselineMismatch.selector, id, 2, 0);
        refused(actors[1], 0, abi.encodeCall(IPDFed.commitVote, (id, bundle, 0, "", "")), reason);
        wait(200);
        reason = abi.encodeWithSelector(IPDFed.BundleMismatch.selector, id, bundle, bytes32("other"));
        refused(actors[1], 0, abi.encodeCall(IPDFed.lateVote, (id, "other", scoreOf(0))), reason);
        must(actors[1], lateVote(id));
    }

    function test_8_an_author_has_no_ballot_and_others_one() external {
        uint32 id = born();
        refused(actors[0], 0, commitment(id, 0), abi.encodeWithSelector(IPDFed.OwnModel.selector, id));
        must(actors[1], commitment(id, 1));
        bytes memory reason = abi.encodeWithSelector(IPDFed.AlreadyVoted.selector, id, actors[1], IPDFed.BallotState.Committed);
        refused(actors[1], 0, commitment(id, 1), reason);
        reason = abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Voting);
        refused(actors[2], 0, lateVote(id), reason);
        wait(200);
        refused(actors[0], 0, lateVote(id), abi.encodeWithSelector(IPDFed.OwnModel.selector, id));
        must(actors[2], lateVote(id));
        reason = abi.encodeWithSelector(IPDFed.NotRegistered.selector, actors[5]);
        refused(actors[5], 0, lateVote(id), reason);
    }

    /// @notice 9: another voter's, a changed or a replayed vote fails, and so does the right one of another model.
    function test_9_only_the_committed_vote_is_revealed() external {
        uint32 id = born();
        commit(1, id, 5);
        commit(2, id, 6);
        uint32 other = submit(0);
        wait(1);
        commit(1, other, 7);
        wait(100);
        Secret memory mine = secrets[id][actors[1]];
        bytes32 stored = fed.ballot(id, actors[2]).commitment;
        bytes32 given = fed.voteCommitment(id, actors[2], mine.score, mine.salt);
        refused(
            actors[2],
            0,
            abi.encodeCall(IPDFed.revealVote, (id, actors[2], mine.score, mine.salt)),
            abi.encodeWithSelector(IPDFed.CommitmentMismatch.selector, stored, given)
        );
        stored = fed.ballot(other, actors[1]).commitment;
        given = fed.voteCommitment(other, actors[1], mine.score, mine.salt);
        refused(
            actors[1],
            0,
            abi.encodeCall(IPDFed.revealVote, (other, actors[1], mine.score, mine.salt)),
            abi.encodeWithSelector(IPDFed.CommitmentMismatch.selector, stored, given)
        );
        reveal(1, id);
        bytes memory reason = abi.encodeWithSelector(IPDFed.NoOpenBallot.selector, id, actors[1], IPDFed.BallotState.Revealed);
        refused(actors[1], 0, revealCall(id, actors[1]), reason);
    }

    function test_scores_have_bounds() external {
        uint32 id = born();
        IPDFed.Score[3] memory bad = [IPDFed.Score(0, 1, 0), IPDFed.Score(1, 0, 0), IPDFed.Score(1, 1, 1_000_001)];
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 hidden = fed.voteCommitment(id, actors[1 + i], bad[i], "salt");
            must(actors[1 + i], commitCall(id, hidden));
        }
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory reason =
                abi.encodeWithSelector(IPDFed.InvalidScore.selector, bad[i].qn, bad[i].baselineQn, bad[i].memorized);
            refused(actors[0], 0, abi.encodeCall(IPDFed.revealVote, (id, actors[1 + i], bad[i], "salt")), reason);
        }
    }

    /// @notice A stake cut by forfeits may weigh nothing: it can't vote any more.
    function test_a_stake_without_weight_cannot_vote() external {
        IPDFed.Terms memory t = usualTerms();
        t.commitBond = 995e15;
        start(t, 0);
        joinAll(3);
        uint32 id = submit(0);
        wait(1);
        must(actors[1], commitment(id, 1));
        bytes memory tooSoon = abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Voting);
        refused(actors[2], 0, abi.encodeCall(IPDFed.forfeit, (id, actors[1])), tooSoon);
        wait(149);
        must(actors[2], abi.encodeCall(IPDFed.forfeit, (id, actors[1])));
        Check.equal(fed.activeWeight(), 200, "a stake of 0.005 weighs nothing");
        id = submit(0);
        wait(1);
        refused(actors[1], 0, commitment(id, 1), abi.encodeWithSelector(IPDFed.NoWeight.selector, actors[1]));
    }

    /// @notice A stake covers the bonds of all open commits and the next one.
    function test_every_open_commit_has_its_bond() external {
        IPDFed.Terms memory t = usualTerms();
        t.commitBond = 5e17;
        start(t, 0);
        joinAll(2);
        for (uint256 i = 0; i < 3; ++i) {
            submit(0);
        }
        wait(1);
        must(actors[1], commitment(1, 1));
        must(actors[1], commitment(2, 1));
        bytes memory reason = abi.encodeWithSelector(IPDFed.BondNotCovered.selector, 1e18, 15e17);
        refused(actors[1], 0, commitment(3, 1), reason);
    }

    /// @notice 12: of 100 and 101 units of weight, the 101 decide, whichever of the two is lower.
    function test_12_one_unit_short_of_half_decides_nothing() external {
        for (uint256 heavy = 1; heavy < 3; ++heavy) {
            start(usualTerms(), 10e18);
            join(0, 1e18);
            join(1, heavy == 1 ? 1.01e18 : 1e18);
            join(2, heavy == 2 ? 1.01e18 : 1e18);
            wait(1);
            uint32 id = submit(0);
            wait(1);
            commit(1, id, 3);
            commit(2, id, 9);
            reveal(1, id);
            reveal(2, id);
            settle(id);
            Check.equal(fed.model(id).gain, heavy == 1 ? int256(3) : int256(9), "a minority decided");
        }
    }

    function test_forfeited_only_after_the_deadline() external {
        uint32 id = born();
        commit(1, id, 5);
        wait(99);
        bytes memory call = abi.encodeCall(IPDFed.forfeit, (id, actors[1]));
        refused(actors[2], 0, call, abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Revealing));
        wait(49);
        refused(actors[2], 0, call, abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Revealing));
        wait(1);
        must(actors[2], call);
        bytes memory reason = abi.encodeWithSelector(IPDFed.NoOpenBallot.selector, id, actors[1], IPDFed.BallotState.Forfeited);
        refused(actors[2], 0, call, reason);
        settle(id);
    }

    /// @notice Reveals that open early, because all have committed, close at the same deadline as else.
    function test_early_reveals_have_the_whole_time() external {
        uint32 id = born();
        for (uint256 i = 1; i < 4; ++i) {
            commit(i, id, 5);
        }
        Check.equal(uint256(fed.phase(id)), uint256(IPDFed.Phase.Revealing), "opened early");
        reveal(1, id);
        wait(148);
        Check.equal(uint256(fed.phase(id)), uint256(IPDFed.Phase.Revealing), "open to the last second");
        reveal(2, id);
        wait(1);
        refused(actors[3], 0, revealCall(id, actors[3]), abi.encodeWithSelector(IPDFed.WrongPhase.selector, id, IPDFed.Phase.Due));
        settle(id);
    }

    function test_models_settle_in_order() external {
        uint32 first = born();
        uint32 second = submit(0);
        wait(1);
        bytes memory call = abi.encodeCall(IPDFed.settle, (second));
        refused(actors[2], 0, call, abi.encodeWithSelector(IPDFed.WrongPhase.selector, second, IPDFed.Phase.Voting));
        wait(200);
        refused(actors[2], 0, call, abi.encodeWithSelector(IPDFed.NotNextToSettle.selector, second, first));
        settle(first);
        settle(second);
        Check.equal(uint256(fed.model(0).phase), uint256(IPDFed.Phase.Scored), "genesis");
        bytes memory reason = abi.encodeWithSelector(IPDFed.WrongPhase.selector, 0, IPDFed.Phase.Scored);
        refused(actors[2], 0, abi.encodeCall(IPDFed.settle, (0)), reason);
        refused(actors[2], 0, lateVote(0), reason);
        refused(actors[2], 0, abi.encodeCall(IPDFed.settle, (9)), abi.encodeWithSelector(IPDFed.UnknownModel.selector, 9));
    }

    /// @notice Trainers alone submit, and pay exactly.
    function test_who_submits_and_what_it_costs() external {
        start(usualTerms(), 0);
        must(actors[0], 1e18, abi.encodeCall(IPDFed.register, (IPDFed.Role.Validator)));
        join(1, 1e18);
        bytes memory call = abi.encodeCall(IPDFed.submit, ("new", new uint32[](1)));
        refused(actors[0], 12e15, call, abi.encodeWithSelector(IPDFed.NotTrainer.selector, actors[0]));
        refused(actors[1], 12e15 + 1, call, abi.encodeWithSelector(IPDFed.WrongFee.selector, 12e15 + 1, 12e15));
        refused(actors[1], 12e15 - 1, call, abi.encodeWithSelector(IPDFed.WrongFee.selector, 12e15 - 1, 12e15));
        must(actors[1], 12e15, call);
    }
}
