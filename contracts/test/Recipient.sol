// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../IPDFed.sol";

/// @notice A participant that misbehaves when it is paid, for tests. Never deployed elsewhere.
contract Recipient {
    enum Manner {
        Accept,
        Refuse,
        Reenter,
        WasteGas,
        ReturnMuch
    }

    /// Behaviour when ETH arrives.
    Manner public manner;
    /// Revert data of the re-entrant call; empty if it succeeded.
    bytes public answer;
    bool public reentered;

    constructor() payable {}

    function behave(Manner manner_) external {
        manner = manner_;
    }

    /// @notice Calls the federation as this contract, passing on the value or the reason of failure.
    function act(address federation, bytes calldata data) external payable {
        (bool ok, bytes memory reason) = federation.call{value: msg.value}(data);
        if (!ok) {
            assembly {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    /// @notice Forces this contract's balance on `target`, which needs no function to take it.
    function force(address payable target) external {
        selfdestruct(target);
    }

    receive() external payable {
        if (manner == Manner.Refuse) revert("no, thank you");
        if (manner == Manner.Reenter) {
            try IPDFed(msg.sender).withdraw(address(this), address(this)) {
                reentered = true;
            } catch (bytes memory reason) {
                answer = reason;
            }
        }
        if (manner == Manner.WasteGas) {
            assembly {
                invalid()
            }
        }
        if (manner == Manner.ReturnMuch) {
            assembly {
                return(0, 1000000)
            }
        }
    }
}
