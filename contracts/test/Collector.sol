// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A buyer that misbehaves when it gets receipts or money, for tests. Never deployed elsewhere.
contract Collector {
    enum Manner {
        Accept,
        Refuse,
        Reenter,
        WasteGas
    }

    /// Behaviour when receipts or ETH arrive.
    Manner public manner;
    /// The call that `Reenter` makes on the sender, with its value.
    bytes public call;
    uint256 public value;
    /// What it returned or reverted with, and whether it succeeded.
    bytes public answer;
    bool public reentered;

    constructor() payable {}

    function behave(Manner manner_, bytes calldata call_, uint256 value_) external payable {
        (manner, call, value) = (manner_, call_, value_);
    }

    /// @notice Calls a contract as this one, passing on the value or the reason of failure.
    function act(address target, bytes calldata data) external payable {
        (bool ok, bytes memory reason) = target.call{value: msg.value}(data);
        if (!ok) {
            assembly {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external returns (bytes4) {
        _misbehave();
        return this.onERC1155Received.selector;
    }

    receive() external payable {
        _misbehave();
    }

    function _misbehave() private {
        if (manner == Manner.Refuse) revert("no, thank you");
        if (manner == Manner.Reenter) (reentered, answer) = msg.sender.call{value: value}(call);
        if (manner == Manner.WasteGas) {
            assembly {
                invalid()
            }
        }
    }
}
