// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check} from "./Vm.sol";

/// @title What a task pays, and when: enrolment, electorate, silence, pace
contract PaceTest is Journeys {
    function startAt(uint32 pace) private {
        IPDFed.Terms memory t = usualTerms();
        (t.pace, t.submissionFee, t.royalty) = (pace, 0, 0);
        start(t, 10e18);
        joinAll(6);
    }

    /// @dev An advance of all these steps, of which this many are paid for.
    function advancePaying(uint256 author, int256 steps, uint256 paid) private {
        uint256 before = fed.pool();
        uint32 id = advance(author, steps);
        Check.equal(fed.model(id).advance, uint256(steps), "the advance is whole");
        Check.equal(fed.champion(), id, "and the champion another");
        if (paid == 0) Check.equal(fed.pool(), before, "nothing is paid");
        else Check.that(fed.pool() < before, "something is paid");
        Check.equal(fed.payableSteps(), terms.pace == 0 ? 64 : expected - paid, "26: steps left");
        if (terms.pace != 0) expected -= paid;
    }

    uint256 private expected = 64;

    /// @notice 26: 64 steps at once, then one every 100 seconds, never more than 64.
    function test_26_sixty_four_steps_and_then_the_pace() external {
        startAt(6400);
        advancePaying(0, 40, 40);
        advancePaying(1, 30, 24);
        advancePaying(2, 10, 0);
        Check.equal(fed.frontier(), 80, "the frontier moved in full");
        wait(99);
        Check.equal(fed.payableSteps(), 0, "a second too early");
        wait(1);
        Check.equal(fed.payableSteps(), 1, "one step more");
        expected = 1;
        advancePaying(0, 5, 1);
        wait(6399);
        Check.equal(fed.payableSteps(), 63, "nearly all");
        wait(1);
        Check.equal(fed.payableSteps(), 64, "all of them");
        wait(1e6);
        Check.equal(fed.payableSteps(), 64, "and no more");
        expected = 64;
        advancePaying(1, 63, 63);
    }

    /// @notice Part of the time for a step is not lost when steps are paid.
    function test_26_half_a_step_is_kept() external {
        startAt(6400);
        advancePaying(0, 60, 60);
        wait(50);
        advancePaying(1, 2, 2);
        expected = 3;
        wait(50);
        Check.equal(fed.payableSteps(), 3, "the second half");
    }

    /// @notice The seconds for a step are rounded up: 65 per 64 steps make two each.
    function test_26_a_step_takes_whole_seconds() external {
        startAt(65);
        advancePaying(0, 63, 63);
        expected = 1;
        wait(125);
        Check.equal(fed.payableSteps(), 63, "not yet");
        wait(1);
        Check.equal(fed.payableSteps(), 64, "all");
    }

    /// @notice The pool is what the paid steps leave: 64 of 120 steps leave three quarters.
    function test_26_what_exceeds_the_pace_stays_in_the_pool() external {
        startAt(1e6);
        advancePaying(0, 60, 60);
        advancePaying(1, 60, 4);
        Check.that(fed.pool() - 7.5e18 <= 3, "a quarter is gone");
    }

    function test_26_an_empty_pool_spends_its_steps_too() external {
        IPDFed.Terms memory t = usualTerms();
        (t.pace, t.submissionFee) = (6400, 0);
        start(t, 0);
        joinAll(6);
        advance(0, 50);
        Check.equal(fed.payableSteps(), 14, "of 64");
        must(SPONSOR, 10e18, abi.encodeCall(IPDFed.fund, ()));
        advance(1, 50);
        Check.equal(fed.payableSteps(), 0, "all");
    }

    function test_without_a_pace_all_is_paid() external {
        startAt(0);
        advancePaying(0, 63, 63);
        advancePaying(1, 63, 63);
        Check.that(fed.pool() < 5.7e18, "two halvings");
    }

    /// @notice An advance that nothing is paid for moves the sunset, and has its royalties.
    function test_28_an_unpaid_advance_is_an_advance() external {
        IPDFed.Terms memory t = usualTerms();
        (t.pace, t.royalty) = (1e6, 5000);
        start(t, 10e18);
        joinAll(6);
        advance(0, 63);
        advance(1, 5);
        wait(terms.sunset - 1);
        advance(2, 6);
        Check.equal(fed.model(3).payout, 0, "nothing is paid");
        uint256 until = time + terms.sunset;
        wait(terms.sunset - 1);
        bytes memory reason = abi.encodeWithSelector(IPDFed.SunsetNotReached.selector, until);
        refused(SPONSOR, 0, abi.encodeCall(IPDFed.reclaim, ()), reason);
        wait(terms.pace);
        advance(3, 20);
        uint256 before = fed.credit(actors[2]);
        must(SPONSOR, abi.encodeCall(IPDFed.claimRoyalties, (ids(3))));
        uint256 owed = uint256(fed.model(4).payout) / 2 * 6 / 74;
        Check.that(fed.credit(actors[2]) - before + 3 >= owed, "its steps have their royalties");
    }

    // --------------------------------------------------------------------------------------- enrolment, electorate

    /// @notice 27: nobody submits before the end of the enrolment, whatever else is wrong with the call.
    function test_27_nobody_submits_before_the_opening() external {
        IPDFed.Terms memory t = usualTerms();
        t.enrolment = 500;
        start(t, 10e18);
        uint256 opens = time + 500;
        join(0, 1e18);
        join(1, 1e18);
        must(actors[2], 1e18, abi.encodeCall(IPDFed.register, (IPDFed.Role.Validator)));
        bytes memory call = abi.encodeCall(IPDFed.submit, ("early", new uint32[](1)));
        bytes memory notOpen = abi.encodeWithSelector(IPDFed.NotOpen.selector, opens);
        wait(499);
        refused(actors[0], terms.submissionFee, call, notOpen);
        refused(actors[0], 0, call, notOpen);
        refused(actors[2], terms.submissionFee, call, notOpen);
        refused(actors[3], 0, call, abi.encodeWithSelector(IPDFed.NotRegistered.selector, actors[3]));
        must(actors[1], abi.encodeCall(IPDFed.requestExit, (actors[1])));
        refused(actors[1], 0, call, abi.encodeWithSelector(IPDFed.NodeExiting.selector, actors[1], time + terms.unbonding));
        wait(1);
        must(actors[0], terms.submissionFee, call);
    }

    /// @notice 27: few nodes count as the electorate; what is missing says no, and its fees join the pool.
    function test_27_the_electorate_is_the_least() external {
        for (uint32 electorate = 199; electorate <= 401; electorate += 101) {
            IPDFed.Terms memory t = usualTerms();
            t.electorate = electorate;
            start(t, 10e18);
            joinAll(4);
            uint32 id = submit(0);
            uint256 eligible = electorate < 300 ? 300 : electorate;
            Check.equal(fed.model(id).eligibleWeight, eligible, "the larger of the two");
            wait(1);
            for (uint256 i = 1; i < 4; ++i) {
                commit(i, id, 9);
            }
            bool early = fed.phase(id) == IPDFed.Phase.Revealing;
            Check.that(early == (eligible == 300), "reveals open early when all of it committed");
            wait(100);
            for (uint256 i = 1; i < 4; ++i) {
                reveal(i, id);
            }
            settle(id);
            must(SPONSOR, abi.encodeCall(IPDFed.claimFees, (actors[1], ids(id))));
            Check.equal(fed.credit(actors[1]), 12e15 * 100 / eligible, "a fee share is of the electorate");
        }
    }

    /// @notice 25: the launch drain: the only two nodes of a task decide nothing against the electorate.
    function test_25_two_nodes_are_no_electorate() external {
        IPDFed.Terms memory t = usualTerms();
        (t.electorate, t.quorum) = (200, 1);
        start(t, 10e18);
        joinAll(2);
        advance2(t.electorate);
        Check.equal(fed.pool(), 10e18 + 6e15, "nothing but half of its fee moved");
    }

    function advance2(uint256 electorate) private {
        uint32 id = submit(0);
        wait(1);
        commit(1, id, 20);
        wait(99);
        reveal(1, id);
        settle(id);
        Check.equal(fed.model(id).eligibleWeight, electorate, "eligible");
        Check.equal(fed.model(id).gain, -64, "half of it is silent");
    }

    // ------------------------------------------------------------------------------------------------------ silence

    /// @notice 25: silence counts as no: half of the eligible weight is not enough, a unit more is.
    function test_25_half_of_the_eligible_weight_is_not_enough() external {
        for (uint256 more = 0; more < 2; ++more) {
            start(usualTerms(), 10e18);
            join(0, 1e18);
            join(1, 1e18 + more * 1e16);
            join(2, 1e18);
            wait(1);
            uint32 id = submit(0);
            wait(1);
            commit(1, id, 9);
            wait(99);
            reveal(1, id);
            settle(id);
            Check.equal(uint256(fed.model(id).phase), uint256(IPDFed.Phase.Scored), "the quorum is met");
            Check.equal(fed.model(id).gain, more == 1 ? int256(9) : int256(-64), "silence is half of it");
            Check.equal(fed.champion(), more == 1 ? id : 0, "champion");
        }
    }

    /// @notice A turnout above half: the silent lie below, so the gain is the lower of the others' middle.
    function test_25_the_silent_lie_in_the_lowest_bucket() external {
        start(usualTerms(), 10e18);
        joinAll(6);
        uint32 id = submit(0);
        wait(1);
        for (uint256 i = 1; i < 5; ++i) {
            commit(i, id, int256(10 * i));
        }
        wait(99);
        for (uint256 i = 1; i < 5; ++i) {
            reveal(i, id);
        }
        settle(id);
        Check.equal(fed.model(id).gain, 20, "the third of five: silent, 10, 20, 30, 40");
    }
}
