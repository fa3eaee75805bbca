// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check, vm} from "./Vm.sol";

/// @title Limits of the contract: weights, balances, parents
contract LimitsTest is Journeys {
    uint256 private constant MAX_WEIGHT = 2 ** 31 - 1;

    function small() private pure returns (IPDFed.Terms memory t) {
        t = usualTerms();
        t.minStake = 1e15;
        t.commitBond = 0;
    }

    function test_who_registers_and_with_what() external {
        start(usualTerms(), 0);
        bytes memory call = abi.encodeCall(IPDFed.register, (IPDFed.Role.Trainer));
        refused(actors[0], 1e18 - 1, call, abi.encodeWithSelector(IPDFed.StakeTooLow.selector, 1e18 - 1, 1e18));
        bytes memory none = abi.encodeCall(IPDFed.register, (IPDFed.Role.None));
        refused(actors[0], 1e18, none, abi.encodeWithSelector(IPDFed.InvalidRole.selector));
        must(actors[0], 1e18, call);
        refused(actors[0], 1e18, call, abi.encodeWithSelector(IPDFed.AlreadyRegistered.selector, actors[0]));
    }

    function test_active_weight_has_a_limit() external {
        start(small(), 0);
        uint256 most = MAX_WEIGHT * 1e13; // 100 units of weight for 1e15 wei
        join(0, most);
        refused(
            actors[1],
            1e15,
            abi.encodeCall(IPDFed.register, (IPDFed.Role.Trainer)),
            abi.encodeWithSelector(IPDFed.WeightFull.selector, MAX_WEIGHT + 100, MAX_WEIGHT)
        );
        refused(
            actors[0],
            1e13,
            abi.encodeCall(IPDFed.topUp, ()),
            abi.encodeWithSelector(IPDFed.WeightFull.selector, MAX_WEIGHT + 1, MAX_WEIGHT)
        );
        must(actors[0], 1e13 - 1, abi.encodeCall(IPDFed.topUp, ()));
    }

    function test_who_returns_must_fit_again() external {
        IPDFed.Terms memory t = small();
        t.unbonding = 150;
        start(t, 0);
        uint256 silent = (MAX_WEIGHT / 2 - 1000) * 1e13;
        join(0, 1e15);
        join(1, MAX_WEIGHT * 1e13 - silent - 1e15);
        join(2, silent);
        wait(1);
        heardWithout(2);
        must(actors[1], abi.encodeCall(IPDFed.retire, (actors[2])));
        join(3, 1e15);
        refused(
            actors[2],
            0,
            abi.encodeCall(IPDFed.cancelExit, ()),
            abi.encodeWithSelector(IPDFed.WeightFull.selector, MAX_WEIGHT + 100, MAX_WEIGHT)
        );
    }

    /// @notice An improbable jury may weigh more than 32 bits: three drawn jurors of half the eligible weight each.
    function test_committed_weight_has_a_limit() external {
        IPDFed.Terms memory t = small();
        (t.jury, t.sunset) = (1, 0);
        start(t, 0);
        join(0, 1e15);
        for (uint256 i = 1; i < 6; ++i) {
            join(i, (MAX_WEIGHT / 5 - 100) * 1e13);
        }
        bool met = false;
        for (uint256 round = 0; round < 200 && !met; ++round) {
            uint32 id = submit(0);
            wait(60);
            for (uint256 i = 1; i < 6; ++i) {
                bytes memory call = commitCall(id, bytes32(i));
                if (!act(actors[i], call)) met = met || reasonOf(actors[i], call) == IPDFed.WeightLimit.selector;
            }
        }
        Check.that(met, "no freak jury was drawn");
    }

    /// @notice The greatest weight that fits is accepted: three of five jurors are drawn, each weighs a third of it.
    function test_the_last_unit_of_committed_weight_fits() external {
        IPDFed.Terms memory t = small();
        t.jury = 1;
        start(t, 0);
        join(0, 1e15);
        uint256 third = type(uint32).max / 3;
        for (uint256 i = 1; i < 6; ++i) {
            join(i, third / 5 * 1e13);
        }
        wait(1);
        uint32 id = submit(0);
        bytes32 seed = bytes32(uint256(1));
        while (drawn(seed, id, third) != 3) {
            seed = bytes32(uint256(seed) + 1);
        }
        chosen = seed;
        wait(60);
        for (uint256 i = 1; i < 6; ++i) {
            act(actors[i], commitCall(id, bytes32(i)));
        }
        Check.equal(fed.model(id).committedWeight, type(uint32).max, "one juror too few");
    }

    /// @dev How many of the five voters this seed draws.
    function drawn(bytes32 seed, uint32 id, uint256 eligible) private view returns (uint256 count) {
        for (uint256 i = 1; i < 6; ++i) {
            if (uint256(keccak256(abi.encode(seed, id, actors[i]))) % eligible < eligible / 5) count += 1;
        }
    }

    function reasonOf(address who, bytes memory call) private returns (bytes4) {
        vm.prank(who);
        (, bytes memory answer) = address(fed).call(call);
        return bytes4(answer);
    }

    function test_the_balance_has_a_limit() external {
        start(usualTerms(), type(uint96).max - 1e18);
        join(0, 1e18);
        uint256 over = uint256(type(uint96).max) + 1;
        bytes memory reason = abi.encodeWithSelector(IPDFed.BalanceLimit.selector, over, over - 1);
        refused(actors[1], 1, abi.encodeCall(IPDFed.fund, ()), reason);
        refused(actors[0], 1, abi.encodeCall(IPDFed.topUp, ()), reason);
        reason = abi.encodeWithSelector(IPDFed.BalanceLimit.selector, over - 1 + 12e15, over - 1);
        refused(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("one", new uint32[](1))), reason);
        must(actors[0], abi.encodeCall(IPDFed.requestExit, (actors[0])));
        wait(terms.unbonding);
        must(actors[0], abi.encodeCall(IPDFed.claimStake, (actors[0])));
        must(actors[0], abi.encodeCall(IPDFed.withdraw, (actors[0], actors[1])));
        must(actors[1], 1, abi.encodeCall(IPDFed.fund, ()));
    }

    /// @notice Weight is of the whole stake, rounded down once: two halves of a unit make one.
    function test_small_top_ups_add_up() external {
        start(usualTerms(), 0);
        join(0, 1e18);
        must(actors[0], 5e15, abi.encodeCall(IPDFed.topUp, ()));
        Check.equal(fed.activeWeight(), 100, "half a unit weighs nothing");
        must(actors[0], 5e15, abi.encodeCall(IPDFed.topUp, ()));
        Check.equal(fed.activeWeight(), 101, "two halves weigh one");
    }

    function test_one_to_eight_parents() external {
        start(usualTerms(), 0);
        join(0, 1e18);
        for (uint32 i = 0; i < 9; ++i) {
            submit(0);
        }
        uint32[] memory parents = new uint32[](9);
        for (uint32 i = 0; i < 9; ++i) {
            parents[i] = i;
        }
        bytes memory reason = abi.encodeWithSelector(IPDFed.InvalidParentCount.selector, 9, 8);
        refused(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("nine", parents)), reason);
        reason = abi.encodeWithSelector(IPDFed.InvalidParentCount.selector, 0, 8);
        refused(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("none", new uint32[](0))), reason);
        parents = new uint32[](8);
        (parents[0], parents[1]) = (9, 9);
        reason = abi.encodeWithSelector(IPDFed.DuplicateParent.selector, 9);
        refused(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("twice", parents)), reason);
        for (uint32 i = 0; i < 8; ++i) {
            parents[i] = 9 - i;
        }
        must(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("eight", parents)));
        parents[7] = 11;
        reason = abi.encodeWithSelector(IPDFed.UnknownModel.selector, 11);
        refused(actors[0], 12e15, abi.encodeCall(IPDFed.submit, ("unborn", parents)), reason);
    }
}
