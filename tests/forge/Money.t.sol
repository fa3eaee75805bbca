// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Recipient} from "../../contracts/test/Recipient.sol";
import {Journeys} from "./Journeys.sol";
import {Check, vm} from "./Vm.sol";

/// @title How money leaves, and to whom
contract MoneyTest is Journeys {
    uint256 private constant MOODY = 5;

    /// @dev All actors joined; the misbehaving recipient's credit is a stake that it claimed.
    function moodyHasCredit() private {
        start(usualTerms(), 10e18);
        joinAll(6);
        must(actors[MOODY], abi.encodeCall(IPDFed.requestExit, (actors[MOODY])));
        wait(terms.unbonding);
        must(actors[MOODY], abi.encodeCall(IPDFed.claimStake, (actors[MOODY])));
    }

    function withdrawTo(address to) private view returns (bytes memory) {
        return abi.encodeCall(IPDFed.withdraw, (address(moody), to));
    }

    function test_19_a_recipient_that_refuses_blocks_only_itself() external {
        moodyHasCredit();
        moody.behave(Recipient.Manner.Refuse);
        ghost.refuse(address(moody), true);
        bytes memory reason = abi.encodeWithSelector(IPDFed.WithdrawFailed.selector, address(moody), 1e18);
        refused(address(moody), 0, withdrawTo(address(moody)), reason);
        moody.behave(Recipient.Manner.WasteGas);
        act(address(moody), withdrawTo(address(moody)));
        must(address(moody), withdrawTo(actors[0]));
        Check.equal(actors[0].balance, 1e18, "its credit can go elsewhere");
    }

    function test_a_withdrawal_cannot_be_entered_twice() external {
        moodyHasCredit();
        moody.behave(Recipient.Manner.Reenter);
        must(address(moody), withdrawTo(address(moody)));
        Check.that(!moody.reentered(), "entered twice");
        Check.equal(bytes4(moody.answer()) == bytes4(keccak256("ReentrancyGuardReentrantCall()")) ? 1 : 0, 1, "by the guard");
        Check.equal(fed.credit(address(moody)), 0, "its credit is paid once");
    }

    function test_returned_data_costs_nothing() external {
        moodyHasCredit();
        moody.behave(Recipient.Manner.ReturnMuch);
        must(address(moody), withdrawTo(address(moody)));
        refused(
            address(moody),
            0,
            withdrawTo(address(moody)),
            abi.encodeWithSelector(IPDFed.NothingToWithdraw.selector, address(moody))
        );
        refused(address(moody), 0, withdrawTo(address(0)), abi.encodeWithSelector(IPDFed.InvalidRecipient.selector, address(0)));
    }

    /// @notice ETH that a dying contract forces in belongs to nobody, and breaks nothing.
    function test_forced_ether_disturbs_nothing() external {
        start(usualTerms(), 1e18);
        vm.deal(address(moody), 5);
        moody.force(payable(address(fed)));
        ghost.force(5);
        must(actors[0], 1e18, abi.encodeCall(IPDFed.register, (IPDFed.Role.Validator)));
    }

    function test_a_stake_waits_for_the_whole_unbonding() external {
        start(usualTerms(), 0);
        joinAll(1);
        bytes memory claim = abi.encodeCall(IPDFed.claimStake, (actors[0]));
        refused(actors[0], 0, claim, abi.encodeWithSelector(IPDFed.StakeLocked.selector, actors[0], 0));
        must(actors[0], abi.encodeCall(IPDFed.requestExit, (actors[0])));
        uint256 until = time + terms.unbonding;
        wait(terms.unbonding - 1);
        refused(actors[0], 0, claim, abi.encodeWithSelector(IPDFed.StakeLocked.selector, actors[0], until));
        wait(1);
        must(actors[0], claim);
    }

    function test_a_recipient_takes_part_as_anyone() external {
        start(usualTerms(), 1e18);
        vm.deal(address(this), 1e18);
        moody.act{value: 1e18}(address(fed), abi.encodeCall(IPDFed.register, (IPDFed.Role.Trainer)));
        Check.equal(uint256(fed.node(address(moody)).role), uint256(IPDFed.Role.Trainer), "registered");
        try moody.act(address(fed), abi.encodeCall(IPDFed.fund, ())) {
            Check.that(false, "funded with nothing");
        } catch (bytes memory reason) {
            Check.equal(reason, abi.encodePacked(IPDFed.NothingSent.selector), "reason passed on");
        }
        (bool taken,) = address(moody).call{value: 0}("");
        Check.that(taken, "a good recipient accepts");
    }

    /// @notice Royalties by hand: 30, then 20 and 14 steps at 10 % of each payout; the earlier share by their steps.
    function test_royalties_follow_the_steps() external {
        start(usualTerms(), 10e18);
        joinAll(6);
        advance(0, 30);
        advance(1, 20);
        Check.equal(fed.frontier(), 50, "frontier");
        advance(2, 14);
        uint256 second = fed.model(2).payout / 10;
        uint256 third = fed.model(3).payout / 10;
        uint256 before = fed.credit(actors[0]);
        must(actors[3], abi.encodeCall(IPDFed.claimRoyalties, (ids(1))));
        uint256 gained = fed.credit(actors[0]) - before;
        uint256 expected = second + third * 30 / 50;
        Check.that(gained <= expected && expected <= gained + 3, "the first champion's part");
        before = fed.credit(actors[1]);
        must(actors[3], abi.encodeCall(IPDFed.claimRoyalties, (ids(2))));
        gained = fed.credit(actors[1]) - before;
        expected = third * 20 / 50;
        Check.that(gained <= expected && expected <= gained + 3, "the second champion's part");
        must(actors[3], abi.encodeCall(IPDFed.claimRoyalties, (ids(3))));
        Check.that(fed.ledger().lockedRoyalties <= 6, "17: more was locked than is owed");
    }

    /// @notice Royalties are shared at a frontier of one step, too.
    function test_the_first_step_has_its_royalties() external {
        IPDFed.Terms memory t = usualTerms();
        t.minGain = 1;
        start(t, 10e18);
        joinAll(6);
        advance(0, 1);
        advance(1, 20);
        Check.equal(fed.ledger().lockedRoyalties, fed.model(2).payout / 10, "a tenth is shared");
        must(actors[3], abi.encodeCall(IPDFed.claimRoyalties, (ids(1))));
        Check.equal(fed.ledger().lockedRoyalties, 0, "all of it is the first champion's");
    }

    /// @notice A full halving pays `release` of the pool, in however many advances.
    function test_26_a_halving_pays_release_of_the_pool() external {
        IPDFed.Terms memory t = usualTerms();
        (t.submissionFee, t.royalty) = (0, 0);
        start(t, 10e18);
        joinAll(6);
        advance(0, 2);
        advance(1, 40);
        advance(2, 22);
        Check.equal(fed.frontier(), 64, "one halving");
        Check.that(fed.pool() - 7.5e18 <= 3 && fed.pool() >= 7.5e18, "a quarter is gone");
    }

    function test_an_abandoned_pool_returns_to_its_sponsor() external {
        start(usualTerms(), 10e18);
        joinAll(2);
        uint256 until = time - 1 + terms.sunset;
        wait(terms.sunset - 2);
        must(actors[1], 1, abi.encodeCall(IPDFed.fund, ()));
        bytes memory reclaim = abi.encodeCall(IPDFed.reclaim, ());
        refused(actors[1], 0, reclaim, abi.encodeWithSelector(IPDFed.SunsetNotReached.selector, until));
        Check.equal(time + 1, until, "a second before the sunset");
        uint32 id = submit(0);
        wait(1);
        refused(actors[1], 0, reclaim, abi.encodeWithSelector(IPDFed.ModelsUnsettled.selector, id, id));
        submit(0);
        wait(99);
        settle(id);
        must(actors[1], reclaim);
        must(actors[1], 1, abi.encodeCall(IPDFed.fund, ()));
        until = time + terms.sunset;
        refused(actors[1], 0, reclaim, abi.encodeWithSelector(IPDFed.SunsetNotReached.selector, until));
        wait(terms.sunset);
        settle(2);
        must(actors[1], reclaim);
        must(SPONSOR, abi.encodeCall(IPDFed.withdraw, (SPONSOR, SPONSOR)));
    }

    /// @notice 28: a model born a second before the sunset holds the pool, one born in its second does not.
    function test_28_who_comes_in_time() external {
        start(usualTerms(), 10e18);
        joinAll(2);
        bytes memory reclaim = abi.encodeCall(IPDFed.reclaim, ());
        wait(terms.sunset - 2);
        submit(0);
        wait(1);
        submit(0);
        refused(SPONSOR, 0, reclaim, abi.encodeWithSelector(IPDFed.ModelsUnsettled.selector, 1, 2));
        wait(99);
        settle(1);
        must(SPONSOR, reclaim);
        wait(1);
        settle(2);
    }

    /// @notice 28: a settlement without an advance is no sign of life; a return is.
    function test_28_junk_does_not_hold_the_pool() external {
        start(usualTerms(), 10e18);
        joinAll(2);
        uint256 until = time - 1 + terms.sunset;
        bytes memory reclaim = abi.encodeCall(IPDFed.reclaim, ());
        while (time < until) {
            uint32 id = submit(0);
            wait(100);
            settle(id);
        }
        must(SPONSOR, reclaim);
        refused(SPONSOR, 0, reclaim, abi.encodeWithSelector(IPDFed.SunsetNotReached.selector, time + terms.sunset));
        wait(terms.sunset);
        refused(SPONSOR, 0, reclaim, abi.encodeWithSelector(IPDFed.NothingToReclaim.selector));
    }

    /// @notice A refused return does not restart the clock.
    function test_28_an_empty_pool_does_not_restart_the_clock() external {
        start(usualTerms(), 0);
        wait(terms.sunset);
        bytes memory reclaim = abi.encodeCall(IPDFed.reclaim, ());
        refused(SPONSOR, 0, reclaim, abi.encodeWithSelector(IPDFed.NothingToReclaim.selector));
        must(actors[0], 1, abi.encodeCall(IPDFed.fund, ()));
        must(SPONSOR, reclaim);
    }

    function test_without_a_sunset_the_pool_stays() external {
        IPDFed.Terms memory t = usualTerms();
        t.sunset = 0;
        start(t, 1);
        wait(1e9);
        refused(
            SPONSOR, 0, abi.encodeCall(IPDFed.reclaim, ()), abi.encodeWithSelector(IPDFed.SunsetNotReached.selector, 0)
        );
    }

    function test_one_bad_id_reverts_a_whole_claim() external {
        start(usualTerms(), 1e18);
        joinAll(3);
        uint32 id = advance(0, 10);
        uint32[] memory twice = new uint32[](2);
        (twice[0], twice[1]) = (id, id);
        bytes memory reason = abi.encodeWithSelector(IPDFed.FeeAlreadyClaimed.selector, id, actors[1]);
        refused(actors[1], 0, abi.encodeCall(IPDFed.claimFees, (actors[1], twice)), reason);
        must(actors[3], abi.encodeCall(IPDFed.claimFees, (actors[1], ids(id))));
        refused(actors[1], 0, abi.encodeCall(IPDFed.claimFees, (actors[1], ids(id))), reason);
        reason = abi.encodeWithSelector(IPDFed.NotRevealed.selector, id, actors[4], 0);
        refused(actors[1], 0, abi.encodeCall(IPDFed.claimFees, (actors[4], ids(id))), reason);
        reason = abi.encodeWithSelector(IPDFed.NotChampion.selector, 0);
        refused(actors[4], 0, abi.encodeCall(IPDFed.claimRoyalties, (ids(0))), reason);
        reason = abi.encodeWithSelector(IPDFed.UnknownModel.selector, 2);
        refused(actors[1], 0, abi.encodeCall(IPDFed.claimFees, (actors[1], ids(2))), reason);
        Check.equal(bytes32(fed.voteCommitment(2, actors[1], scoreOf(0), 0)) == 0 ? 1 : 0, 1, "no commitment to the unknown");
    }

    /// @notice A voter that leaves in the middle of a vote can still reveal; a forfeit of its unrevealed commits does not cut
    /// the active weight.
    function test_18_leaving_with_open_commits() external {
        start(usualTerms(), 1e18);
        joinAll(4);
        uint32 id = submit(0);
        wait(1);
        commit(1, id, 4);
        commit(2, id, 4);
        must(actors[1], abi.encodeCall(IPDFed.requestExit, (actors[1])));
        must(actors[2], abi.encodeCall(IPDFed.requestExit, (actors[2])));
        wait(99);
        reveal(1, id);
        wait(terms.unbonding);
        must(actors[1], abi.encodeCall(IPDFed.claimStake, (actors[1])));
        bytes memory reason = abi.encodeWithSelector(IPDFed.CommitsOpen.selector, actors[2], 1);
        refused(actors[2], 0, abi.encodeCall(IPDFed.claimStake, (actors[2])), reason);
        must(actors[3], abi.encodeCall(IPDFed.forfeit, (id, actors[2])));
        Check.equal(fed.activeWeight(), 200, "3: weight of those who stay");
        must(actors[2], abi.encodeCall(IPDFed.claimStake, (actors[2])));
        settle(id);
    }
}
