// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Player} from "./Player.sol";

/// @title Any sequence of calls
/// @notice After every one, contract and ghost agree to the byte (`Federation`); at the end of a game all is drained.
contract GameTest {
    Player private player;

    function setUp() external {
        player = new Player();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev All calls but `drain`; those that advance a game are listed more often.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[28] memory chosen = [
            Player.register.selector,
            Player.topUp.selector,
            Player.requestExit.selector,
            Player.cancelExit.selector,
            Player.claimStake.selector,
            Player.keepAlive.selector,
            Player.retire.selector,
            Player.submit.selector,
            Player.commit.selector,
            Player.commit.selector,
            Player.commitToAnother.selector,
            Player.drawJury.selector,
            Player.reveal.selector,
            Player.revealForged.selector,
            Player.lateVote.selector,
            Player.settle.selector,
            Player.forfeit.selector,
            Player.playRound.selector,
            Player.playRound.selector,
            Player.improve.selector,
            Player.claimFees.selector,
            Player.claimRoyalties.selector,
            Player.fund.selector,
            Player.reclaim.selector,
            Player.setPayee.selector,
            Player.withdraw.selector,
            Player.batch.selector,
            Player.passTime.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(player), new bytes4[](chosen.length + 2));
        for (uint256 i = 0; i < chosen.length; ++i) {
            targets[0].selectors[i] = chosen[i];
        }
        targets[0].selectors[chosen.length] = Player.changeMood.selector;
        targets[0].selectors[chosen.length + 1] = Player.force.selector;
    }

    /// @notice 1 to 11, 13, 16 to 20, 23 to 29, 31 to 33 are checked inside every call of the player: a failed check fails the call.
    function invariant_contract_and_ghost_agree() external view {
        player.calls();
    }

    /// @notice 2, 17, 18, 23, 28: see `Ending.drain`.
    function afterInvariant() external {
        player.drain();
    }
}
